"""A headless Chromium, driven through a pipe: what a reader's browser says about a page.

``--dump-dom`` shows a page but not its console, so the tests speak the DevTools protocol. Over
``--remote-debugging-pipe`` that takes two pipes and ``json``: no port, no driver to install.
"""

import json
import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",  # a container's root cannot use it, and the pages are our own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--window-size=1300,1000",  # a desktop's: formulas must fit its column
    "--disable-background-networking",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # a page that needs a server fails here
    "--remote-debugging-pipe",
)
SETTLED = "MathJax.startup.promise.then(() => true)"
# MathJax marks wrong TeX as an error, but shows an unknown macro as it stands, in red.
STATE = """({
  formulas: document.querySelectorAll('mjx-container').length,
  formula_errors:
    [...document.querySelectorAll('math merror, math mtext[mathcolor="red"], mjx-merror')]
    .map(node => node.getAttribute('data-mjx-error') || node.textContent),
  broken_images:
    [...document.images].filter(image => !image.complete || !image.naturalWidth)
    .map(image => image.src),
  clipped:
    [...document.querySelectorAll('div.math mjx-container')]
    .filter(node => node.scrollWidth > node.clientWidth + 1)
    .map(node => `${node.closest('div.math').id}: ${node.scrollWidth} in ${node.clientWidth} px`),
})"""


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Page:
    """What one page looked like once it had settled."""

    errors: list[str] = field(default_factory=list)
    formulas: int = 0
    formula_errors: list[str] = field(default_factory=list)
    broken_images: list[str] = field(default_factory=list)
    clipped: list[str] = field(default_factory=list)


class Browser:
    """One Chromium process with one tab; ``open`` visits a page and reports on it."""

    def __init__(self, program: str, profile: Path, timeout: float = 60):
        # DevTools reads descriptor 3 and writes descriptor 4: the shell maps our pipes to them.
        script = 'exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1'
        command = ["sh", "-c", script, program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.timeout = timeout
        self.messages: Queue = Queue()
        self.events: list[dict] = []
        self.number = 0
        self.session: str | None = None
        threading.Thread(target=self._read, daemon=True).start()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_) -> None:
        self.process.stdin.close()  # Chromium leaves when its pipe closes
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def _read(self) -> None:
        buffer = b""
        while chunk := self.process.stdout.read1(1 << 16):
            *whole, buffer = (buffer + chunk).split(b"\0")
            for message in whole:
                self.messages.put(json.loads(message))
        self.messages.put({"closed": True})

    def _next(self) -> dict:
        try:
            message = self.messages.get(timeout=self.timeout)
        except Empty:
            raise TimeoutError(f"Chromium was silent for {self.timeout} s") from None
        if "closed" in message:
            raise RuntimeError("Chromium closed its pipe: does it start from a terminal?")
        if "method" in message:
            self.events.append(message)
        return message

    def call(self, method: str, **params) -> dict:
        self.number += 1
        request = {"id": self.number, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        self.process.stdin.write(json.dumps(request).encode() + b"\0")
        self.process.stdin.flush()
        while (answer := self._next()).get("id") != self.number:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def evaluate(self, expression: str):
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {_exception(result['exceptionDetails'])}")
        return result["result"].get("value")

    def resize(self, width: int, height: int = 1000) -> None:
        """Make the window so wide, in CSS pixels: below 600 it is a phone's."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def open(self, page: Path) -> Page:
        self.events.clear()
        loader = self.call("Page.navigate", url=page.as_uri())["loaderId"]
        while not any(_loaded(event, loader) for event in self.events):
            self._next()
        if self.evaluate("typeof MathJax === 'object' && 'startup' in MathJax"):
            self.evaluate(SETTLED)
        state = self.evaluate(STATE)
        return Page(errors=[text for event in self.events if (text := _complaint(event))], **state)


def _loaded(event: dict, loader: str) -> bool:
    """Whether this navigation has ended: the page before it may end its own late."""
    params = event.get("params", {})
    return event["method"] == "Page.lifecycleEvent" and (params["loaderId"], params["name"]) == (loader, "load")


def _complaint(event: dict) -> str | None:
    """The text of an event that shows red in the console; None for every other."""
    params = event.get("params", {})
    match event["method"]:
        case "Runtime.exceptionThrown":
            return _exception(params["exceptionDetails"])
        case "Runtime.consoleAPICalled" if params["type"] in ("error", "assert"):
            return " ".join(str(arg.get("value", arg.get("description"))) for arg in params["args"])
        case "Log.entryAdded" if params["entry"]["level"] == "error":
            return f"{params['entry']['text']} {params['entry'].get('url', '')}".strip()
    return None


def _exception(details: dict) -> str:
    return details.get("exception", {}).get("description") or details["text"]
