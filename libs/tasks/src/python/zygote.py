"""The warm interpreter behind python tasks.

Three kinds of process run this file, each forked from the one before:

zygote   waits on its standard input, a socket, for `F` with three descriptors: the attempt's socket, stdout, stderr.
keeper   one per attempt. Reads the request from the attempt's socket, forks the task, passes the result on, obeys `T`
         (SIGTERM to the task) and `K` or the end of the socket (kill everything), adopts what the task leaves behind,
         kills it, and reports how the task ended. It runs no code of the user's.
task     runs the user's function in a session of its own.

A keeper says `S` when it is there, then answers in frames: a tag, a big-endian length, a payload. `R` is a piece of the result, `X` the exit status as
JSON, `L` a loss that is not the task's fault.
"""

import ctypes
import errno
import faulthandler
import gc
import importlib
import io
import json
import linecache
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
import traceback
import types

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
REAP_LIMIT = 5.0
LIBC = ctypes.CDLL(None, use_errno=True)


def zygote():
    control = socket.socket(fileno=0)
    # Keepers report for themselves; the kernel may reap them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    while True:
        message, fds, _, _ = socket.recv_fds(control, 1, 3)
        if not message:
            return
        if len(fds) == 3:
            try:
                pid = os.fork()
            except OSError as error:
                lost(fds[0], "the worker cannot fork: %s" % error)
                pid = -1
            if pid == 0:
                control.close()
                try:
                    keeper(*fds)
                except BaseException as error:
                    lost(fds[0], "the python keeper failed: %r" % error)
                os._exit(0)
        for fd in fds:
            os.close(fd)


def frame(tag, payload):
    return tag + struct.pack(">I", len(payload)) + payload


def lost(fd, message):
    try:
        os.write(fd, frame(b"L", message.encode()))
    except OSError:
        pass


def read_exactly(sock, count):
    data = bytearray()
    while len(data) < count:
        piece = sock.recv(min(1 << 20, count - len(data)))
        if not piece:
            os._exit(0)
        data += piece
    return data


def keeper(sock_fd, out, err):
    os.setsid()
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    sock = socket.socket(fileno=sock_fd)
    # From here on an end without a word may have run the user's code; before, the worker may simply try again.
    sock.sendall(b"S")
    (length,) = struct.unpack(">I", read_exactly(sock, 4))
    request = read_exactly(sock, length)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    result_read, result_write = os.pipe()
    me = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            sock.close()
            for fd in (wake_read, wake_write, result_read):
                os.close(fd)
            task(me, request, result_write, out, err)
        finally:
            os._exit(70)
    del request
    for fd in (out, err, result_write):
        os.close(fd)
    os.set_blocking(result_read, False)
    status = attend(sock, pid, wake_read, result_read)
    kill_descendants()
    if os.WIFSIGNALED(status):
        ended = {"signal": os.WTERMSIG(status)}
    else:
        ended = {"code": os.WEXITSTATUS(status)}
    sock.sendall(frame(b"X", json.dumps(ended).encode()))


def attend(sock, pid, wake, result):
    """Serves the attempt until the task itself has ended; gives its wait status."""
    poll = select.poll()
    for fd in (sock.fileno(), wake, result):
        poll.register(fd, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == result:
                if not relay(sock, result):
                    poll.unregister(result)
            elif fd == wake:
                os.read(wake, 512)
                status = reap(pid)
                if status is not None:
                    relay(sock, result)
                    return status
            else:
                command = sock.recv(1)
                if command == b"T":
                    kill_group(pid, signal.SIGTERM)
                else:
                    kill_group(pid, signal.SIGKILL)
                    if not command:
                        poll.unregister(sock.fileno())


def relay(sock, result):
    """Passes on what the task has written so far; false at the end."""
    while True:
        try:
            piece = os.read(result, 1 << 16)
        except BlockingIOError:
            return True
        if not piece:
            return False
        try:
            sock.sendall(frame(b"R", piece))
        except OSError:
            return False


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
    # Before its setsid the task is no group leader yet, so the process itself is named too.
    for send in (os.killpg, os.kill):
        try:
            send(pid, number)
            return
        except OSError:
            pass


def kill_descendants():
    until = time.monotonic() + REAP_LIMIT
    while time.monotonic() < until:
        try:
            found, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if found == 0:
            for pid in descendants(os.getpid()):
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            time.sleep(0.002)


def descendants(root):
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


def task(parent, request, result, out, err):
    os.setsid()
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(70)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    null = os.open(os.devnull, os.O_RDWR)
    for source, target in ((null, 0), (out, 1), (err, 2)):
        os.dup2(source, target)
        if source > 2:
            os.close(source)
    me = os.getpid()
    request = json.loads(request.decode("utf-8"))
    answer = perform(request)
    if os.getpid() != me:
        # The user's code forked and let the copy return; only the original answers.
        os._exit(0)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    view = memoryview(answer)
    while view:
        view = view[os.write(result, view):]
    os._exit(0)


def perform(request):
    """Runs the task; gives `+` and the output, or `-` and the failure, as bytes."""
    try:
        prepare(request)
        function = load(request)
        value = function(**request["args"])
        if hasattr(value, "__await__"):
            import asyncio

            value = asyncio.run(awaited(value))
    except Refusal as refusal:
        return failure("InvalidTask", str(refusal), non_retryable=True)
    except SystemExit as error:
        return exited(error)
    except MemoryError as error:
        return failure("OutOfMemory", "the task needed more memory than its limit of %d bytes" % request["memory"],
                       trace(error))
    except BaseException as error:
        return failure(type(error).__name__, message_of(error), trace(error))
    try:
        output = json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")
    except MemoryError:
        return failure("OutOfMemory", "the result did not fit into the task's memory limit")
    except RecursionError:
        return failure("ResultNotJson", "the result is nested too deeply for JSON")
    except BaseException as error:
        return failure("ResultNotJson", "what main returned cannot be written as JSON: %s" % message_of(error))
    if len(output) > request["max_output"]:
        return failure("OutputTooLarge", "the result has %d bytes of JSON, more than the %d allowed"
                       % (len(output), request["max_output"]), non_retryable=True)
    return b"+" + output


class Refusal(Exception):
    """The task cannot run as it is written."""


def prepare(request):
    limit = request["memory"]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.path[:0] = request["path"]
    sys.argv = [request["task"]]
    sys.stdin = io.TextIOWrapper(io.FileIO(0, "r", closefd=False), encoding="utf-8")
    for number, name in ((1, "stdout"), (2, "stderr")):
        raw = io.BufferedWriter(io.FileIO(number, "w", closefd=False))
        setattr(sys, name, io.TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True))
        setattr(sys, "__%s__" % name, getattr(sys, name))
    faulthandler.enable(2)


def load(request):
    if request["code"] is None:
        module, _, name = request["function"].partition(":")
        value = importlib.import_module(module)
        for part in name.split("."):
            value = getattr(value, part)
        return value
    name = "<task %s>" % request["task"]
    source = request["code"]
    # With this entry tracebacks show the source; a time of None keeps it from being looked for on disk.
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    module = types.ModuleType("nexus_task")
    module.__file__ = name
    sys.modules["nexus_task"] = module
    exec(compile(source, name, "exec", dont_inherit=True), module.__dict__)
    main = getattr(module, "main", None)
    if not callable(main):
        raise Refusal("the code defines no function `main`")
    return main


async def awaited(value):
    return await value


def exited(error):
    code = error.code
    if code is None:
        code = 0
    elif not isinstance(code, int):
        return failure("ExitCode", "the task called sys.exit: %s" % code, details={"exit_code": 1})
    return failure("ExitCode", "the task called sys.exit(%d) instead of returning" % code, details={"exit_code": code})


def message_of(error):
    try:
        return str(error) or type(error).__name__
    except BaseException:
        return type(error).__name__


def trace(error):
    """The traceback from the user's first line on."""
    try:
        tb = error.__traceback__
        while tb is not None and tb.tb_frame.f_globals is globals():
            tb = tb.tb_next
        return "".join(traceback.format_exception(type(error), error, tb))
    except BaseException:
        return ""


def failure(kind, message, stack="", non_retryable=False, details=None):
    value = {"type": kind, "message": message[:65536], "stack_trace": stack[-65536:],
             "non_retryable": non_retryable, "details": details}
    return b"-" + json.dumps(value).encode("ascii")


zygote()
os._exit(0)
