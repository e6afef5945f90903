/* The sockets of a server, found by its port because civetweb keeps them to itself. */
#ifndef HOST_SERVER_SOCKETS_H
#define HOST_SERVER_SOCKETS_H

enum sockets_state {
    SOCKETS_NONE,    /* no connection */
    SOCKETS_IDLE,    /* connections, but on none of them has anything come that is not read yet */
    SOCKETS_WAITING, /* somebody waits to be read */
};

/* From now on new connections to the port are refused; those that there are go on. Returns what sockets_end takes. */
int sockets_refuse(int port);
enum sockets_state sockets_state(int port);
/* Nothing more is read from the port's connections; whoever polls them, or for new ones, wakes up. */
void sockets_end(int port, int refused);

#endif
