"""A client of `tuxlet serve`, with Python's standard library only.

    from tuxlet import Machine

    with Machine.start(["--rm", "debian"]) as machine:
        print(machine.call("guest.exec", command="uname -a")["output"])

Run as a program it gives a machine some work:

    python3 tuxlet.py --rm debian
    python3 tuxlet.py --rootfs /srv/alpine
"""

import base64
import itertools
import json
import queue
import subprocess
import sys
import threading


class Failed(Exception):
    """What the server answered instead of a result."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error["code"]
        # The name of Linux' error number, such as ENOENT, if there is one.
        self.errno = (error.get("data") or {}).get("errno")


class Machine:
    """A machine behind a pair of streams that carry lines of JSON: those of a child, or of a Unix socket."""

    def __init__(self, reader, writer, child=None):
        self._writer = writer
        self._child = child
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting = {}
        # Notifications, as (method, params); None at the end.
        self.events = queue.Queue()
        self._thread = threading.Thread(target=self._read, args=(reader,), daemon=True)
        self._thread.start()

    @classmethod
    def start(cls, arguments, program="tuxlet"):
        """Starts `tuxlet serve` with arguments that say which machine."""
        child = subprocess.Popen(
            [program, "serve", "--stdio", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return cls(child.stdout, child.stdin, child)

    def _read(self, reader):
        for line in reader:
            message = json.loads(line)
            if "id" in message:
                with self._lock:
                    answer = self._waiting.pop(message["id"])
                answer.put(message)
            else:
                self.events.put((message["method"], message["params"]))
        with self._lock:
            waiting, self._waiting = self._waiting, None
        for answer in waiting.values():
            answer.put({"error": {"code": 0, "message": "the server has gone"}})
        self.events.put(None)

    def call(self, method, **params):
        """Calls a method; several threads may do so at once."""
        number = next(self._numbers)
        answer = queue.Queue()
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        with self._lock:
            if self._waiting is None:
                raise ConnectionError("the server has gone")
            self._waiting[number] = answer
            self._writer.write(json.dumps(request).encode() + b"\n")
            self._writer.flush()
        message = answer.get()
        if "error" in message:
            raise Failed(message["error"])
        return message["result"]

    def run(self, *argv, stdin=None, output=None):
        """Runs a program and gives its exit code; `output` hears of (stream, text) while it runs."""
        started = self.call("guest.spawn", argv=list(argv), stdin=stdin is not None)
        process = started["process"]
        if stdin is not None:
            self.call("guest.write", process=process, data=stdin, end=True)
        while (event := self.events.get()) is not None:
            method, params = event
            if params.get("process") != process:
                continue
            if method == "guest.output" and output:
                output(params["stream"], params["data"])
            if method == "guest.exit":
                return params["exit_code"]
        raise ConnectionError("the server has gone")

    def read(self, path):
        """A whole file, as bytes."""
        pieces, offset = [], 0
        while True:
            answer = self.call("fs.read", path=path, offset=offset, length=1 << 20)
            if answer["size"] == 0:
                return b"".join(pieces)
            pieces.append(base64.b64decode(answer["data"]))
            offset += answer["size"]

    def write(self, path, data):
        """Replaces a file."""
        self.call("fs.write", path=path, data_base64=base64.b64encode(data).decode())

    def close(self):
        self._writer.close()
        if self._child:
            self._child.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main():
    arguments = sys.argv[1:]
    program = "tuxlet"
    if arguments and arguments[0] == "--tuxlet":
        program, arguments = arguments[1], arguments[2:]
    with Machine.start(arguments, program) as machine:
        machine.write("/tmp/greeting", "grüße\n".encode())
        print("file:", machine.read("/tmp/greeting").decode().strip())
        answer = machine.call("guest.exec", command="read /tmp/greeting", timeout=60000)
        print("exec:", answer["exit_code"], answer["output"].strip())
        code = machine.run(
            "/bin/sh", "-c", "cat", stdin="streamed\n",
            output=lambda stream, text: print(f"{stream}:", text.strip()),
        )
        print("exit code:", code)
        watch = machine.call("fs.watch", path="/tmp")["watch"]
        machine.write("/tmp/new", b"")
        while True:
            method, params = machine.events.get()
            if method == "fs.change" and params["watch"] == watch:
                print("change:", params["kind"], params["name"])
                break
        try:
            machine.call("fs.stat", path="/absent")
        except Failed as error:
            print("error:", error.errno)
        used = machine.call("machine.stats")
        print("stats:", used["memory"] < used["memory_limit"])


if __name__ == "__main__":
    main()
