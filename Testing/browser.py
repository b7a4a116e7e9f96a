"""A headless Chromium, controlled by its own protocol through a pipe: real keys and clicks, and all reports."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--window-size=1380,1000",
)


def browser_program() -> str | None:
    """Return a Chromium of this machine, or None; only on systems with numbered pipes."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None) if os.name == "posix" else None


class Browser:
    """One page of a browser.

    Attributes:
        messages: Console messages and errors of the page.
        requests: Addresses that the page requested, except data addresses.
    """

    def __init__(self, program: str) -> None:
        import fcntl  # noqa: PLC0415 - not on Windows

        self._profile = tempfile.mkdtemp(prefix="arssr-chromium-")
        (child_in, self._out), (self._in, child_out) = os.pipe(), os.pipe()
        child_in, child_out = (fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 10) for number in (child_in, child_out))
        command = [program, *OPTIONS, f"--user-data-dir={self._profile}", "about:blank"]
        # Chromium reads from 3 and writes to 4.
        self._process = subprocess.Popen(
            command,
            close_fds=False,
            preexec_fn=lambda: (os.dup2(child_in, 3), os.dup2(child_out, 4)),  # noqa: PLW1509 - two system calls
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(child_in)
        os.close(child_out)
        self._rest, self._number, self._session = b"", 0, None
        self.messages: list[str] = []
        self.requests: list[str] = []
        pages = [t for t in self.send("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        attached = self.send("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: object) -> dict:
        """Call a method of the protocol, and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _receive(self) -> dict:
        while b"\0" not in self._rest:
            part = os.read(self._in, 1 << 16)
            assert part, "the browser is gone"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        event = json.loads(message)
        self._note(event.get("method", ""), event.get("params", {}))
        return event

    def _note(self, method: str, found: dict) -> None:
        if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.messages.append(json.dumps(found))
        if method == "Network.requestWillBeSent" and not found["request"]["url"].startswith("data:"):
            self.requests.append(found["request"]["url"])

    def open(self, path: Path, fragment: str = "") -> None:
        """Show a file, and discard earlier reports."""
        self.messages.clear()
        self.requests.clear()
        self.send("Page.navigate", url=path.resolve().as_uri() + fragment)
        for _ in range(200):
            if self.value("location.protocol === 'file:' && document.readyState === 'complete'"):
                return
        msg = f"{path.name} was not loaded"
        raise TimeoutError(msg)

    def value(self, expression: str) -> object:
        """Return the value of an expression in the page."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Press a key, such as ("ArrowUp", 38)."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at one point of the window and release it at another."""
        for kind, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def picture(self, path: Path) -> None:
        """Write a screenshot as PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        self._process.wait(timeout=30)
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._profile, ignore_errors=True)
