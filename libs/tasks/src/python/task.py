"""What the process of a task does: it reads the request, runs the user's function and writes the answer. This file knows
nothing of keepers, so that an interpreter of the task's own can run it too (`isolation: process`).

Request and answer go over one socket, each with its length in front. An answer is `+` and the output, or `-` and the
failure, both as JSON.
"""

import faulthandler
import importlib
import io
import json
import linecache
import os
import resource
import signal
import sys
import traceback
import types

# The file's name in code objects. Tracebacks name the task instead, which may be another one the next time.
FILE = "<task>"
# The functions that were loaded, by source: one at most, unless the interpreter serves several attempts.
FUNCTIONS = {}
UMASK = os.umask(0o022)
os.umask(UMASK)
# False when the interpreter should serve no further attempt.
fit = True


def attempt(data):
    """Serves the attempt whose socket this is; gives false when the process should end with it."""
    me = os.getpid()
    answer = perform(json.loads(take(data, int.from_bytes(take(data, 4), "big")).decode("utf-8")))
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
        view = view[os.write(data, view):]
    return fit


def alone(data):
    """Serves one attempt in an interpreter of its own."""
    try:
        os.set_inheritable(data, False)
        get_ready()
        attempt(data)
        os._exit(0)
    finally:
        os._exit(70)


def take(fd, count):
    data = bytearray()
    while len(data) < count:
        piece = os.read(fd, min(1 << 20, count - len(data)))
        if not piece:
            os._exit(0)
        data += piece
    return data


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
        return exhausted("the task needed more memory than its limit of %d bytes" % request["memory"], trace(error))
    except BaseException as error:
        return failure(type(error).__name__, message_of(error), trace(error))
    try:
        output = json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")
    except MemoryError:
        return exhausted("the result did not fit into the task's memory limit")
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


def get_ready():
    """What can be done before an attempt is there: the streams, and a rehearsal that makes the pages which every attempt
    needs this process's own, so that the attempt does not wait for their copies."""
    reset_signals()
    signal.setitimer(signal.ITIMER_REAL, 0)
    os.umask(UMASK)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, "r", closefd=False), encoding="utf-8")
    for number, name in ((1, "stdout"), (2, "stderr")):
        raw = io.BufferedWriter(io.FileIO(number, "w", closefd=False))
        setattr(sys, name, io.TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True))
        setattr(sys, "__%s__" % name, getattr(sys, name))
    faulthandler.enable(2)
    if not FUNCTIONS:
        scope = {}
        exec(compile("def main(n):\n    return [n, {'a': 1}]", FILE, "exec"), scope)
        json.dumps(scope["main"](**json.loads(b'{"n": [1, 2.5, null, "text"]}'.decode("utf-8"))))


def prepare(request):
    """Makes the process the attempt's. The modules of a warm interpreter stay, and `sys.path` that belongs to them."""
    if not FUNCTIONS:
        limit = request["memory"]
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        sys.path[:0] = request["path"]
    elif "tempfile" in sys.modules:
        # It remembers the folder of the attempt that asked first.
        sys.modules["tempfile"].tempdir = None
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = [request["task"]]


def reset_signals():
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def load(request):
    """The function to call. A warm interpreter, which serves one source only, remembers it."""
    global fit
    key = (request["code"], request["function"])
    if key not in FUNCTIONS:
        # Code that breaks half way has left what it had done; the next attempt begins afresh.
        fit = False
        FUNCTIONS[key] = find(request)
        fit = True
    return FUNCTIONS[key]


def find(request):
    if request["code"] is None:
        module, _, name = request["function"].partition(":")
        value = importlib.import_module(module)
        for part in name.split("."):
            value = getattr(value, part)
        return value
    name = FILE
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
        text = "".join(traceback.format_exception(type(error), error, tb))
        return text.replace('File "%s"' % FILE, 'File "<task %s>"' % sys.argv[0])
    except BaseException:
        return ""


def exhausted(message, stack=""):
    """A failure after which nobody should use this interpreter again."""
    global fit
    fit = False
    return failure("OutOfMemory", message, stack)


def failure(kind, message, stack="", non_retryable=False, details=None):
    value = {"type": kind, "message": message[:65536], "stack_trace": stack[-65536:],
             "non_retryable": non_retryable, "details": details}
    return b"-" + json.dumps(value).encode("ascii")
