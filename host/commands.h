/* The program's commands; each returns the exit status. */
#ifndef HOST_COMMANDS_H
#define HOST_COMMANDS_H

int command_serve(void);
int command_demo(void);
int command_simulate(const char *listen); /* the simulator alone */
int command_check(void);
int command_routes(void);

enum { COMMAND_MISUSED = -1 }; /* the arguments are not what the usage says */

/* Arguments without the command's name. */
int command_decide(int argc, char **argv);
int command_replay(int argc, char **argv);

#endif
