/* The program's commands; each returns the exit status. */
#ifndef HOST_COMMANDS_H
#define HOST_COMMANDS_H

int command_serve(void);
int command_demo(void);
int command_simulate(const char *listen); /* the simulator alone */
int command_check(void);
int command_routes(void);

#endif
