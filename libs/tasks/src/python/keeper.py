

"""A keeper stands between the worker and the process of a task. It serves attempts one after the other and runs no code
of the user's, nor does it ever see what an attempt is given or answers: the worker and the task speak over a socket of
their own, which the keeper only hands on. It makes sure that everything that an attempt started is dead before the
attempt counts as ended, and that all of it dies with the worker.

The worker says, over the keeper's socket: `F` (fork), `W` (warm) or `P` (process) with three descriptors, the attempt's
socket, stdout and stderr; then `T` (SIGTERM to the task) and `K` or the end of the socket (kill everything).

The keeper says `S` when it is there, then answers in frames: a tag, a big-endian length, a payload. `P` with a process
id says that an attempt begins; without it nothing of the user's has run. `U` takes that back: the process ended before
it had begun. `E` with an exit status as JSON says that the attempt's process has ended; what it left may still have
something to write and goes on until `K`. `X` with the status says that nothing of the
attempt is left, `D` that it has ended and its interpreter is fit for the next one of the same code,
`L` tells of a loss that is not the task's fault.

Between attempts a process waits that has been forked already and has run nothing.
"""

import ctypes
import mmap
import select
import socket
import struct
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
REAP_LIMIT = 5.0
# A keeper that is not needed ends, and the worker asks for another one.
IDLE_LIMIT = 300.0
# Attempts of one keeper, and of one warm interpreter.
MOST_ATTEMPTS = 1000
MOST_WARM_ATTEMPTS = 500
# How much a warm interpreter may grow after its first attempt.
GROWTH_LIMIT = 64 << 20
LIBC = ctypes.CDLL(None, use_errno=True)
PAGE = os.sysconf("SC_PAGE_SIZE")


def frame(tag, payload):
    return tag + struct.pack(">I", len(payload)) + payload


def lost(fd, message):
    try:
        os.write(fd, frame(b"L", message.encode()))
    except OSError:
        pass


class Child:
    """The process that serves the next attempt, and in a warm keeper the ones after it."""

    def __init__(self, keeper):
        self.inner, theirs = socket.socketpair()
        # Shared with the process, which notes in it that an attempt has begun.
        self.begun = mmap.mmap(-1, 1)
        self.attempts = 0
        self.first_size = 0
        me = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.inner.close()
                keeper.control.close()
                for fd in keeper.wake:
                    os.close(fd)
                wait_for_attempts(me, theirs, self.begun)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(70)
        theirs.close()

    def hand_over(self, mode, fds):
        self.attempts += 1
        self.begun[0] = 0
        socket.send_fds(self.inner, [mode], fds)

    def is_fit(self):
        """True when nothing is left of the attempt but the interpreter, and that is in good shape."""
        if self.attempts >= MOST_WARM_ATTEMPTS or descendants(os.getpid()) != [self.pid]:
            return False
        try:
            with open("/proc/%d/stat" % self.pid, "rb") as stat:
                fields = stat.read().rsplit(b") ", 1)[1].split()
        except (OSError, IndexError):
            return False
        state, threads, size = fields[0], int(fields[17]), int(fields[21]) * PAGE
        self.first_size = self.first_size or size
        return state not in b"ZX" and threads == 1 and size <= self.first_size + GROWTH_LIMIT


class Keeper:
    def __init__(self, control):
        self.control = control
        self.wake = os.pipe()
        for fd in self.wake:
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self.wake[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.child = None

    def run(self):
        os.setpgid(0, 0)
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        # From here on an end without a word may have run the user's code; before, the worker may simply try again.
        self.control.sendall(b"S")
        for _ in range(MOST_ATTEMPTS):
            self.child = self.child or Child(self)
            attempt = self.next_attempt()
            if attempt is None:
                break
            if not self.serve(*attempt):
                break
        kill_descendants()

    def next_attempt(self):
        """Waits for an attempt; nothing when there will be none."""
        poll = select.poll()
        poll.register(self.control.fileno(), select.POLLIN)
        poll.register(self.wake[0], select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll(IDLE_LIMIT * 1000)]
            if self.wake[0] in ready:
                os.read(self.wake[0], 512)
                if reap(self.child.pid) is not None:
                    # Something killed it while it waited. The worker learns that this keeper is no more.
                    return None
            if self.control.fileno() in ready:
                message, fds, _, _ = socket.recv_fds(self.control, 1, 3)
                if len(fds) == 3:
                    return message, fds
                if message not in (b"T", b"K"):
                    return None
            if not ready:
                return None

    def serve(self, mode, fds):
        """Sees an attempt through; false when it was the last one."""
        self.control.sendall(frame(b"P", b"%d" % self.child.pid))
        try:
            self.child.hand_over(mode, fds)
        except OSError:
            # It has died just now, which is told next.
            pass
        for fd in fds:
            os.close(fd)
        status = self.attend()
        if status is None and self.child.is_fit():
            self.control.sendall(frame(b"D", b""))
            return True
        if status is not None and not self.child.begun[0]:
            kill_descendants()
            self.control.sendall(frame(b"U", b""))
            return False
        if status is not None and os.WIFSIGNALED(status):
            ended = {"signal": os.WTERMSIG(status)}
        else:
            ended = {"code": os.WEXITSTATUS(status or 0)}
        ended = json.dumps(ended).encode()
        self.control.sendall(frame(b"E", ended))
        self.wait_for_kill()
        clean = kill_descendants()
        self.child.inner.close()
        self.child = None
        self.control.sendall(frame(b"X", ended))
        return clean

    def wait_for_kill(self):
        """Waits until the worker wants the rest killed, or is gone. What ends meanwhile is reaped afterwards."""
        while self.control.recv(1) == b"T":
            pass

    def attend(self):
        """Serves the attempt until its process has ended, and gives its wait status; nothing when it goes on."""
        inner, control, wake = self.child.inner.fileno(), self.control.fileno(), self.wake[0]
        poll = select.poll()
        for fd in (inner, control, wake):
            poll.register(fd, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == wake:
                    os.read(wake, 512)
                    status = reap(self.child.pid)
                    if status is not None:
                        return status
                elif fd == inner:
                    if self.receive():
                        return None
                    poll.unregister(inner)
                else:
                    command = self.control.recv(1)
                    if command == b"T":
                        kill_group(self.child.pid, signal.SIGTERM)
                    else:
                        kill_group(self.child.pid, signal.SIGKILL)
                        if not command:
                            poll.unregister(control)

    def receive(self):
        try:
            return self.child.inner.recv(1)
        except OSError:
            return b""


def wait_for_attempts(parent, inner, begun):
    """The life of a task's process."""
    os.setpgid(0, 0)
    os.nice(NICENESS)
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(70)
    signal.set_wakeup_fd(-1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    more = True
    while more:
        get_ready()
        mode, fds, _, _ = socket.recv_fds(inner, 1, 3)
        if len(fds) != 3:
            os._exit(0)
        begun[0] = 1
        data, out, err = fds
        for source, target in ((out, 1), (err, 2)):
            os.dup2(source, target)
            os.close(source)
        if mode == b"P":
            program = "%s\nalone(%d)\n" % (TASK_SOURCE, data)
            os.set_inheritable(data, True)
            os.execv(sys.executable, [sys.executable, "-c", program])
        os.set_inheritable(data, False)
        if mode == b"W":
            more = attempt(data)
            os.chdir("/")
            for target in (0, 1, 2):
                os.dup2(null, target)
            os.close(data)
            if more:
                inner.send(b"D")
        else:
            inner.close()
            os.close(null)
            attempt(data)
            more = False
    os._exit(0)


def reap(pid):
    status = None
    while True:
        try:
            found, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if found == 0:
            return status
        if found == pid:
            status = ended


def kill_group(pid, number):
    # Before its setpgid the task is no group leader yet, so the process itself is named too.
    for send in (os.killpg, os.kill):
        try:
            send(pid, number)
            return
        except OSError:
            pass


def kill_descendants():
    """Kills and reaps every descendant; false when one cannot be killed."""
    until = time.monotonic() + REAP_LIMIT
    while time.monotonic() < until:
        try:
            found, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if found == 0:
            for pid in descendants(os.getpid()):
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            time.sleep(0.002)
    return False


def descendants(root):
    """Every process below this one. Threads of the keeper are not looked at: it has none but the first."""
    found, todo = [], [root]
    try:
        while todo:
            pid = todo.pop()
            for thread in os.listdir("/proc/%d/task" % pid) if pid != root else (root,):
                with open("/proc/%d/task/%s/children" % (pid, thread), "rb") as children:
                    below = [int(child) for child in children.read().split()]
                found += below
                todo += below
    except OSError:
        # A process ended meanwhile, or the kernel keeps no such lists.
        return all_descendants(root)
    return found


def all_descendants(root):
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name, "rb") as stat:
                    parent = int(stat.read().rsplit(b") ", 1)[1].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            children.setdefault(parent, []).append(int(name))
    found, todo = [], [root]
    while todo:
        for child in children.pop(todo.pop(), ()):
            found.append(child)
            todo.append(child)
    return found
