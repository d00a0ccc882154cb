# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual Plutos in a process of their own, which leaves this one's interpreter to the radio's user."""

import dataclasses
import json
import queue
import subprocess
import sys
import threading
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gr_semantic.child_process import end_with_its_input
from gr_semantic.errors import UserError
from gr_semantic.virtual_pluto.config import Event, VirtualPlutosConfig
from gr_semantic.virtual_pluto.virtual_plutos import RadioState, VirtualPlutos

_START_S, _ANSWER_S, _STOP_S = 60.0, 10.0, 10.0
_EVENTS = TypeAdapter(Event)


class VirtualPlutosProcess:
    """As VirtualPlutos, served by another process; it ends when this object is stopped or this process dies.

    Args:
        config: VirtualPlutosConfig, or a dict of its fields.

    Raises:
        UserError: what VirtualPlutos would raise, or the process does not start, answer or live on.
    """

    def __init__(self, config: VirtualPlutosConfig | dict | None = None):
        if not isinstance(config, VirtualPlutosConfig):
            config = VirtualPlutosConfig.from_dict(config or {})
        self.config = config
        self.uris: list[str] = []
        self.serials: list[str] = []
        self._process: subprocess.Popen | None = None
        self._answers: queue.Queue = queue.Queue()
        self._asking = threading.Lock()

    @property
    def pid(self) -> int:
        """Of the process that serves."""
        return self._process.pid

    def start(self) -> "VirtualPlutosProcess":
        """Returns when the radios can be reached."""
        command = [sys.executable, "-m", "gr_semantic.cli.main", "virtual-pluto", "--control"]
        # A session of its own: Ctrl-C in the terminal must not take the radios from a program that switches them off.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        threading.Thread(target=self._read_answers, daemon=True, name="virtual-pluto-answers").start()
        try:
            ready = self._ask(self.config.model_dump(mode="json", by_alias=True), _START_S)
        except BaseException:
            self.stop()
            raise
        self.uris, self.serials = ready["uris"], ready["serials"]
        return self

    def stop(self) -> None:
        """Ends the process. Harmless when repeated."""
        if self._process is None:
            return
        end_with_its_input(self._process, _STOP_S)
        self._process = None

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.stop()

    def state(self, radio: int) -> RadioState:
        """Of this moment."""
        fields = self._ask({"do": "state", "radio": radio})
        return RadioState(**{name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()})

    def apply(self, event: Event) -> None:
        """Make an event happen now."""
        self._ask({"do": "apply", "event": event.model_dump(mode="json", by_alias=True)})

    def plug_in(self, radio: int) -> None:
        """Give power to a radio that is unplugged, now."""
        self._ask({"do": "plug_in", "radio": radio})

    @property
    def time_s(self) -> float:
        """Air time."""
        return self._ask({"do": "time"})["time_s"]

    @property
    def slipped_s(self) -> float:
        """Wall-clock time by which the air has fallen behind since the start."""
        return self._ask({"do": "time"})["slipped_s"]

    def _read_answers(self):
        stdout = self._process.stdout
        with stdout:
            for line in stdout:
                self._answers.put(json.loads(line))
        self._answers.put({"error": "virtual-pluto: the process has ended"})

    def _ask(self, request: dict, timeout_s: float = _ANSWER_S) -> dict[str, Any]:
        with self._asking:
            try:
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
                answer = self._answers.get(timeout=timeout_s)
            except queue.Empty:
                raise UserError(f"virtual-pluto: no answer from its process in {timeout_s:g} s") from None
            except (OSError, AttributeError, ValueError):
                raise UserError("virtual-pluto: its process does not run") from None
        if "error" in answer:
            raise UserError(answer["error"])
        return answer


def answer(plutos: VirtualPlutos, request: dict) -> dict[str, Any]:
    """What the serving process answers to one request; {"error": ...} for one that cannot be met."""
    try:
        match request:
            case {"do": "state", "radio": int(radio)} if 0 <= radio < len(plutos.uris):
                return dataclasses.asdict(plutos.state(radio))
            case {"do": "apply", "event": dict(fields)}:
                plutos.apply(_EVENTS.validate_python(fields))
            case {"do": "plug_in", "radio": int(radio)} if 0 <= radio < len(plutos.uris):
                plutos.plug_in(radio)
            case {"do": "time"}:
                return {"time_s": plutos.time_s, "slipped_s": plutos.slipped_s}
            case _:
                return {"error": f"virtual-pluto: unknown request {request}"}
    except ValidationError as error:
        return {"error": f"virtual-pluto: {error.errors()[0]['msg']}"}
    except UserError as error:
        return {"error": str(error)}
    return {}
