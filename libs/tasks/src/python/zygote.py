

"""The interpreter behind python tasks, from which everything else is forked: zygote, keeper, task. It waits on its
standard input, a socket, for `F` with the descriptor of a new keeper's socket. Its first argument is the source of what
a task's process does, for interpreters that are started afresh, the second one how nice those processes are.
"""

import gc

TASK_SOURCE = sys.argv[1]
NICENESS = int(sys.argv[2])



def zygote():
    control = socket.socket(fileno=0)
    # A terminal's Ctrl-C is the worker's to handle. All tasks share this session: where Linux shares the processor between
    # sessions, whatever the niceness of their members (autogroup, sched(7)), they have one part of it and not forty.
    os.setsid()
    # Keepers report for themselves; the kernel may reap them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    while True:
        message, fds, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        for fd in fds:
            try:
                pid = os.fork()
            except OSError as error:
                lost(fd, "the worker cannot fork: %s" % error)
                pid = -1
            if pid == 0:
                control.close()
                # Takes the place of standard input, which no other descriptor may get.
                os.open(os.devnull, os.O_RDWR)
                try:
                    Keeper(socket.socket(fileno=fd)).run()
                except BaseException as error:
                    lost(fd, "the python keeper failed: %r" % error)
                os._exit(0)
            os.close(fd)


zygote()
os._exit(0)
