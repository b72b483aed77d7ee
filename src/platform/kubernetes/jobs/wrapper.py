"""Runs one replica of a training job in a pod: fetches its code, runs its script, hands in what it yields.

Given as text to `python3 -c`, so it is one file and needs nothing but Python 3.8 and its standard library. What the pod
is stands in SLUICE_JOB (JSON, made by manifest.ts), what to run is asked of the gateway: it may hold secrets. Each line on stdout is one of the script's stdout, or begins with SOH and
a letter that says what it is (read by log-lines.ts). How it ended is one JSON object in the termination message.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.error
import urllib.request

JOB = json.loads(os.environ.get("SLUICE_JOB", "{}"))
RANK = int(os.environ.get("JOB_COMPLETION_INDEX", "0"))
WORK = JOB.get("workFolder", "/work")
CODE, OUTPUT, CHECKPOINT, PARAMS, TEMP = (
    os.path.join(WORK, name) for name in ("code", "output", "checkpoint", "params.json", "tmp")
)
# with room for the timestamp that the kubelet puts before it
MAX_LINE = 64 * 1024 - 256
CUT_NOTE = " … [line cut at 64 KiB]".encode()
# what the gateway tells of the job
TOLD = ("code", "entrypoint", "args", "requirements", "params", "env", "timeLimitSec")
# what a script of this machine may inherit, and the platform's own
# (how replicas find each other is told below, whatever a runtime of the Kubeflow Trainer has set)
PRIVATE = re.compile(r"^(SLUICE_JOB|KUBERNETES_.*|JOB_COMPLETION_INDEX|PET_.*|JAX_(NUM_PROCESSES|PROCESS_ID|COORDINATOR_ADDRESS))$")
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Interrupted(BaseException):
    """The pod is to end before there is a script to tell."""


class Failure(Exception):
    """What ends the attempt, in words for the user."""

    def __init__(self, words, retryable):
        super().__init__(words)
        self.retryable = retryable


# --- lines -----------------------------------------------------------------------------------------------------------

_writing = threading.Lock()


def write_line(kind, text):
    """Kinds: o(ut), e(rr), s(ystem), p(reparing), r(unning)."""
    plain = kind == b"o" and not text.startswith(b"\x01")
    with _writing:
        data = (b"" if plain else b"\x01" + kind) + text + b"\n"
        while data:
            data = data[os.write(1, data) :]


def say(text):
    for line in text.splitlines():
        write_line(b"s", line.encode("utf-8", "replace")[:MAX_LINE])


class Lines:
    """Cuts bytes into lines that end with \\n, \\r\\n or \\r; holds at most one line of 64 KiB."""

    def __init__(self, take):
        self.take, self.held, self.cut, self.after_return = take, b"", False, False

    def push(self, chunk):
        for piece in re.split(b"(\r\n|\r|\n)", chunk):
            if piece in (b"\r\n", b"\r", b"\n"):
                # the \n of a \r\n that came in two chunks; and progress bars that begin with \r
                silent = self.held == b"" and not self.cut and (self.after_return or piece == b"\r")
                if not silent:
                    self.give()
                self.after_return = piece == b"\r"
            elif piece:
                self.after_return = False
                room = MAX_LINE - len(self.held)
                self.cut = self.cut or len(piece) > room
                self.held += piece[:room]

    def give(self):
        self.take(self.held + (CUT_NOTE if self.cut else b""))
        self.held, self.cut = b"", False

    def end(self):
        if self.held:
            self.give()


def read_lines(stream, take):
    lines = Lines(take)
    while True:
        chunk = os.read(stream.fileno(), 65536)
        if not chunk:
            break
        lines.push(chunk)
    lines.end()


# --- the gateway -----------------------------------------------------------------------------------------------------

FINAL = {400, 404, 405, 409, 410, 411, 413, 415, 422}


def call(method, path, file=None, patience=600.0):
    """Asks the gateways, again and again for as long as they are away. Answers None for a 404, else the open answer."""
    started, wait = time.monotonic(), 0.5
    while True:
        try:
            return _call(method, path, file)
        except urllib.error.HTTPError as error:
            said = error.read(2000).decode("utf-8", "replace")
            if error.code == 404 and method == "GET":
                return None
            words = "the gateway answered %d to %s %s: %s" % (error.code, method, path, said)
            last, final = words, error.code in FINAL
        except (OSError, ValueError) as error:
            last, final = "the gateway does not answer to %s %s: %s" % (method, path, error), False
        over = time.monotonic() - started + wait > patience
        if final or over:
            raise Failure(last, not final)
        time.sleep(wait)
        wait = min(wait * 2, 15.0)


def _call(method, path, file):
    # read each time: the kubelet renews it
    with open(JOB["tokenFile"], encoding="utf-8") as token_file:
        token = token_file.read().strip()
    body = open(file, "rb") if file else None
    try:
        request = urllib.request.Request(JOB["podsUrl"] + "/pods/v1/" + path, data=body, method=method)
        # not to be shown to a store that the gateway sends us on to
        request.add_unredirected_header("Authorization", "Bearer " + token)
        if file:
            request.add_header("Content-Length", str(os.path.getsize(file)))
            request.add_header("Content-Type", "application/gzip")
        return urllib.request.urlopen(request, timeout=60)
    finally:
        if body:
            body.close()


def download(path, target, digest=None):
    """Fetches into a file and checks it; False when there is nothing."""
    for attempt in range(5):
        answer = call("GET", path)
        if answer is None:
            return False
        hashed = hashlib.sha256()
        try:
            with answer, open(target, "wb") as out:
                for chunk in iter(lambda: answer.read(1 << 20), b""):
                    hashed.update(chunk)
                    out.write(chunk)
            length = answer.headers.get("Content-Length")
            whole = length is None or int(length) == os.path.getsize(target)
        except OSError:
            whole = False
        if whole and digest in (None, "sha256:" + hashed.hexdigest()):
            return True
        time.sleep(0.5 * 2**attempt)
    raise Failure("what the gateway sent as %s is broken" % path, True)


# --- archives --------------------------------------------------------------------------------------------------------


def unpack(archive, folder):
    """Unpacks what stays inside the folder; anything else is refused."""
    os.makedirs(folder, exist_ok=True)
    try:
        with tarfile.open(archive, "r:*") as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(folder, filter="data")
                return
            root = os.path.realpath(folder)
            for member in tar:
                check_member(member, root)
                member.mode = (member.mode | 0o600) & 0o755
                tar.extract(member, folder)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise Failure("the archive cannot be unpacked: %s" % error, False)


def check_member(member, root):
    def inside(path):
        real = os.path.realpath(path)
        return real == root or real.startswith(root + os.sep)

    target = os.path.join(root, member.name)
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise ValueError("%r is no file, folder or link" % member.name)
    ok = not os.path.isabs(member.name) and inside(target)
    if member.issym():
        ok = ok and not os.path.isabs(member.linkname) and inside(os.path.join(os.path.dirname(target), member.linkname))
    if member.islnk():
        ok = ok and inside(os.path.join(root, member.linkname))
    if not ok:
        raise ValueError("%r leads out of the folder" % member.name)


def pack(folder, archive):
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for name in sorted(os.listdir(folder)):
            tar.add(os.path.join(folder, name), arcname=name)


def state_of(folder):
    """Changes whenever a file below does."""
    found = []
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            try:
                facts = os.lstat(path)
            except OSError:
                continue
            found.append((os.path.relpath(path, folder), facts.st_size, facts.st_mtime_ns))
    return sorted(found)


class Checkpoints:
    """Hands the checkpoint folder in when it has changed: now and then, and at the end. Rank 0 alone does."""

    def __init__(self):
        self.known = state_of(CHECKPOINT)
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        if RANK == 0:
            self.thread.start()

    def watch(self):
        wait = every = float(JOB.get("checkpointEverySec", 60))
        while not self.stopped.wait(wait):
            # one that was written to meanwhile is looked at again soon
            wait = every if self.hand_in(30.0) else min(every, 5.0)

    def hand_in(self, patience):
        before = state_of(CHECKPOINT)
        if before == self.known:
            return True
        archive = os.path.join(TEMP, "checkpoint.tar.gz")
        try:
            pack(CHECKPOINT, archive)
            if state_of(CHECKPOINT) != before:
                return False
            call("PUT", "checkpoint", archive, patience).close()
        except (Failure, OSError, tarfile.TarError) as error:
            say("the checkpoint could not be kept: %s" % error)
            return False
        finally:
            if os.path.exists(archive):
                os.remove(archive)
        self.known = before
        return True

    def finish(self, patience):
        if RANK != 0:
            return
        self.stopped.set()
        self.thread.join(patience)
        self.hand_in(patience)


# --- Python packages -------------------------------------------------------------------------------------------------

RELEASE = re.compile(r"^\d+(\.\d+)*$")
LINE = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)\s*((?:(?:==|>=|<=|!=|~=|>|<)[^,;]+,?\s*)*)$")


def release(text):
    """A plain version's numbers; None for what this does not compare, such as pre-releases."""
    return [int(part) for part in text.split(".")] if RELEASE.match(text) else None


def satisfied(line):
    """Whether the image has what a requirement line asks for; a line that this cannot read is not satisfied."""
    from importlib import metadata

    text = line.split(" #")[0].strip()
    match = LINE.match(text)
    if not match:
        return False
    try:
        have = release(metadata.version(match.group(1)).split("+")[0])
    except metadata.PackageNotFoundError:
        return False
    wishes = [wish.strip() for wish in match.group(2).split(",") if wish.strip()]
    return all(fits(have, *re.match(r"(==|>=|<=|!=|~=|>|<)\s*(\S+)$", wish).groups()) for wish in wishes)


def fits(have, operator, text):
    star = text.endswith(".*") and operator in ("==", "!=")
    want = release(text[:-2] if star else text)
    if have is None or want is None:
        return False
    if star:
        same = (have + [0] * len(want))[: len(want)] == want
        return same if operator == "==" else not same
    width = max(len(have), len(want))
    a, b = have + [0] * (width - len(have)), want + [0] * (width - len(want))
    if operator == "~=":
        return len(want) > 1 and a >= b and a[: len(want) - 1] == b[: len(want) - 1]
    return {"==": a == b, "!=": a != b, ">=": a >= b, "<=": a <= b, ">": a > b, "<": a < b}[operator]


def ensure_requirements(lines):
    """The interpreter to run, and the folder of its virtual environment or None."""
    if all(satisfied(line) for line in lines):
        return sys.executable, None
    write_line(b"p", ("installing %d requirements" % len(lines)).encode())
    folder = os.path.join(WORK, "venv")
    own_pip = has_pip()
    step([sys.executable, "-m", "venv", "--system-site-packages"] + (["--without-pip"] if own_pip else []) + [folder])
    python = os.path.join(folder, "bin", "python")
    listed = os.path.join(folder, "requirements.txt")
    with open(listed, "w", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")
    pip = [sys.executable, "-m", "pip", "--python", python] if own_pip else [python, "-m", "pip"]
    quiet = ["--disable-pip-version-check", "--no-input", "--no-compile", "--progress-bar", "off"]
    step(pip + ["install"] + quiet + ["-r", listed])
    return python, folder


def has_pip():
    """Whether the image's pip can install into another environment, as 22.3 and later can."""
    from importlib import metadata

    try:
        return [int(part) for part in metadata.version("pip").split(".")[:2]] >= [22, 3]
    except (metadata.PackageNotFoundError, ValueError):
        return False


NETWORK = re.compile(
    r"Retrying \(Retry\(|NewConnectionError|ConnectTimeoutError|ReadTimeoutError|Read timed out|Connection (aborted|broken)"
    r"|ConnectionResetError|IncompleteRead|ProxyError|name resolution|Network is unreachable|HTTP error (5\d\d|429)",
    re.I,
)


def step(command):
    env = dict(base_environment(), PYTHONUNBUFFERED="1")
    process = subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/"
    )
    last = []

    def take(line):
        text = line.decode("utf-8", "replace")
        last.append(text)
        del last[:-12]
        say(text)

    try:
        read_lines(process.stdout, take)
        code = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
    if code != 0:
        doing = "pip" if "pip" in command else "making the virtual environment"
        network = any(NETWORK.search(line) for line in last)
        why = ": the network failed" if network else ""
        raise Failure("%s ended with exit code %d%s\n%s" % (doing, code, why, "\n".join(last)), network or code < 0)


# --- the script's environment ----------------------------------------------------------------------------------------


def base_environment():
    env = {name: value for name, value in os.environ.items() if not PRIVATE.match(name)}
    env["HOME"] = WORK
    env["TMPDIR"] = env.get("TMPDIR", TEMP)
    return env


def param_text(value):
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # the environment cannot hold a NUL; the JSON file can
    return text.replace("\0", "")


def script_environment(venv):
    resources = JOB["resources"]
    env = base_environment()
    for name in THREADS:
        env[name] = str(max(1, int(resources["cpus"])))
    env.update(JOB["env"])
    for name, value in JOB["params"].items():
        env["SLUICE_PARAM_" + re.sub("[^A-Z0-9]", "_", name.upper())] = param_text(value)
    if venv:
        env["VIRTUAL_ENV"] = venv
        env["PATH"] = os.pathsep.join([os.path.join(venv, "bin")] + ([env["PATH"]] if env.get("PATH") else []))
    env.update(
        PYTHONUNBUFFERED="1",
        SLUICE_JOB_ID=JOB["jobId"],
        SLUICE_ATTEMPT=str(JOB["attempt"]),
        SLUICE_PARAMS=PARAMS,
        SLUICE_OUTPUT_DIR=OUTPUT,
        SLUICE_CHECKPOINT_DIR=CHECKPOINT,
        CUDA_VISIBLE_DEVICES=",".join(str(at) for at in range(resources["gpus"])),
    )
    env.update(group_environment())
    return env


def group_environment():
    """How the replicas of a group find each other, for each framework as its own launchers say it."""
    hosts, processes = JOB["hosts"], JOB["distributed"]["processesPerReplica"]
    size, framework = JOB["replicas"], JOB["distributed"]["framework"]
    env = {"SLUICE_REPLICAS": str(size), "SLUICE_REPLICA": str(RANK), "SLUICE_HOSTS": ",".join(hosts)}
    if size == 1 and framework == "none":
        return env
    if framework in ("none", "torch"):
        port = "29500"
        env.update(
            MASTER_ADDR=hosts[0], MASTER_PORT=port, WORLD_SIZE=str(size), RANK=str(RANK),
            LOCAL_RANK="0", LOCAL_WORLD_SIZE="1", GROUP_RANK=str(RANK),
        )  # fmt: skip
    if framework == "torch":
        env.update(
            PET_NNODES=str(size), PET_NODE_RANK=str(RANK), PET_NPROC_PER_NODE=str(processes),
            PET_MASTER_ADDR=hosts[0], PET_MASTER_PORT=port,
        )  # fmt: skip
    # a single worker with TF_CONFIG would wait for others
    if framework == "tensorflow" and size > 1:
        cluster = {"worker": ["%s:2222" % host for host in hosts]}
        task = {"type": "worker", "index": RANK}
        env["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task, "environment": "cloud"})
    if framework == "jax":
        env.update(
            JAX_NUM_PROCESSES=str(size), JAX_PROCESS_ID=str(RANK), JAX_COORDINATOR_ADDRESS="%s:29500" % hosts[0]
        )
    return env


def await_hosts():
    """Waits until the names of all replicas are known; their pods come one by one."""
    waiting, started, told = list(JOB["hosts"]) if JOB["replicas"] > 1 else [], time.monotonic(), False
    while waiting and time.monotonic() - started < 600:
        try:
            socket.getaddrinfo(waiting[0], 29500)
            waiting.pop(0)
        except OSError:
            if not told:
                write_line(b"p", b"waiting for the other replicas")
            told = True
            time.sleep(0.5)
    if waiting:
        raise Failure("the replicas do not find each other: %s is not known" % ", ".join(waiting), True)


# --- the script ------------------------------------------------------------------------------------------------------


class Script:
    """The running script; its whole process group is told to stop and ended."""

    def __init__(self, command, env):
        self.stopped = None
        self.last_error = ""
        self.kill_at = float("inf")
        self.oom_before = oom_kills()
        self.process = subprocess.Popen(
            command, cwd=CODE, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        self.deadline = time.monotonic() + JOB["timeLimitSec"]
        self.readers = [
            threading.Thread(target=read_lines, args=(self.process.stdout, self.take_out), daemon=True),
            threading.Thread(target=read_lines, args=(self.process.stderr, self.take_error), daemon=True),
        ]
        for reader in self.readers:
            reader.start()

    def take_out(self, line):
        write_line(b"o", line)

    def take_error(self, line):
        if line.strip():
            self.last_error = line.strip().decode("utf-8", "replace")[:300]
        write_line(b"e", line)

    def stop(self, why):
        """SIGTERM now, SIGKILL after the grace; the first reason counts."""
        if self.stopped:
            return
        self.stopped = why
        self.kill_at = time.monotonic() + JOB["stopGraceSec"]
        self.signal(signal.SIGTERM)

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def wait(self):
        while True:
            now = time.monotonic()
            if now >= self.deadline:
                self.stop("timed_out")
            if now >= self.kill_at:
                self.signal(signal.SIGKILL)
            try:
                code = self.process.wait(timeout=0.1)
                break
            except subprocess.TimeoutExpired:
                continue
        self.signal(signal.SIGKILL)
        if os.getpid() == 1:
            # what left the group lives in our container only
            try:
                os.kill(-1, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for reader in self.readers:
            reader.join(2.0)
        return code

    def ran_out_of_memory(self):
        return oom_kills() > self.oom_before


def oom_kills():
    """How often the kernel has ended a process of this container for want of memory."""
    for path in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        try:
            with open(path, encoding="ascii") as lines:
                for line in lines:
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        except (OSError, ValueError):
            continue
    return 0


# --- the whole -------------------------------------------------------------------------------------------------------

_script = None
_prepared = False


def on_term(_number, _frame):
    if _script is not None:
        _script.stop("interrupted")
    elif not _prepared:
        raise Interrupted()


def ask_what_to_run():
    answer = call("GET", "job")
    if answer is None:
        raise Failure("the gateway knows nothing of this job", False)
    with answer:
        told = json.loads(answer.read().decode("utf-8"))
    JOB.update((key, told[key]) for key in TOLD)


def prepare():
    write_line(b"p", b"fetching the code")
    ask_what_to_run()
    for folder in (OUTPUT, CHECKPOINT, TEMP):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
    shutil.rmtree(CODE, ignore_errors=True)
    archive = os.path.join(TEMP, "fetched.tar.gz")
    if not download("blobs/" + JOB["code"], archive, JOB["code"]):
        raise Failure("the gateway has no code %s" % JOB["code"], False)
    unpack(archive, CODE)
    if download("checkpoint", archive):
        unpack(archive, CHECKPOINT)
        say("goes on from the last checkpoint")
    if os.path.exists(archive):
        os.remove(archive)
    with open(PARAMS, "w", encoding="utf-8") as out:
        json.dump(JOB["params"], out, ensure_ascii=False, separators=(",", ":"))
        out.write("\n")
    entry = os.path.realpath(os.path.join(CODE, JOB["entrypoint"]))
    if not entry.startswith(os.path.realpath(CODE) + os.sep):
        raise Failure('entrypoint "%s" leads out of the code folder' % JOB["entrypoint"], False)
    if not os.path.isfile(entry):
        raise Failure('entrypoint "%s" is not in the code folder' % JOB["entrypoint"], False)


def hand_in_outputs():
    archive = os.path.join(TEMP, "outputs.tar.gz")
    pack(OUTPUT, archive)
    with call("PUT", "outputs", archive, 3600.0) as answer:
        return json.loads(answer.read().decode("utf-8"))["digest"]


def run():
    """Answers the termination message."""
    global _script, _prepared
    prepare()
    python, venv = ensure_requirements(JOB["requirements"])
    await_hosts()
    checkpoints = Checkpoints()
    launch = [python]
    if JOB["distributed"]["framework"] == "torch" and JOB["distributed"]["processesPerReplica"] > 1:
        launch += ["-m", "torch.distributed.run"]
    command = launch + [os.path.join(CODE, JOB["entrypoint"])] + JOB["args"]
    env = script_environment(venv)
    write_line(b"r", JOB["entrypoint"].encode())
    script = Script(command, env)
    _script = script
    code = script.wait()
    _prepared, _script = True, None
    # a pod that is to end has little time left
    checkpoints.finish(10.0 if script.stopped == "interrupted" else 300.0)
    said = {"exitCode": code, "lastError": script.last_error}
    if script.ran_out_of_memory() and code != 0:
        return dict(said, end="out_of_memory")
    if script.stopped:
        return dict(said, end=script.stopped)
    if code != 0:
        return dict(said, end="failed")
    return dict(said, end="succeeded", outputs=hand_in_outputs() if RANK == 0 else None)


EXIT = {"succeeded": 0, "timed_out": 124, "interrupted": 143, "out_of_memory": 137}


def main():
    signal.signal(signal.SIGTERM, on_term)
    try:
        end = run()
    except Interrupted:
        end = {"end": "interrupted", "exitCode": None}
    except Failure as failure:
        end = {"end": "not_run", "exitCode": None, "reason": str(failure)[:2000], "retryable": failure.retryable}
    except Exception as error:  # a full disk, most likely
        words = "%s: %s" % (type(error).__name__, error)
        end = {"end": "not_run", "exitCode": None, "reason": words[:2000], "retryable": True}
    with open(JOB["terminationLog"], "w", encoding="utf-8") as out:
        json.dump(end, out)
    code = end["exitCode"]
    sys.stdout.flush()
    os._exit(EXIT.get(end["end"], code if code and 0 < code < 256 else 1))


if __name__ == "__main__":
    main()
