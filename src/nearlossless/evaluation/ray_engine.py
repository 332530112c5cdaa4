"""Draw on a Ray cluster: one actor for each GPU or share of the CPU; Ray places them and starts them again."""

import os
import signal
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

from nearlossless.backends import BackendUnavailable
from nearlossless.cases.case import CaseError
from nearlossless.environment import Fingerprint
from nearlossless.evaluation.engines import Results
from nearlossless.evaluation.prompts import Prompt
from nearlossless.evaluation.remote import Worker, WorkerJob
from nearlossless.evaluation.results import Drawn, Status, unfinished
from nearlossless.evaluation.store import BLOCK, MOST_ATTEMPTS, Store
from nearlossless.progress import Progress

BUILD_RETRIES = -1  # without end: while an actor is started again, each try counts as one; time is the limit
MOST_AHEAD = 4 * BLOCK  # prompts that wait for the result of one before them
_LOOK_EVERY_S, _ANSWER_S = 5.0, 10.0


class RayEngine:
    """
    Actors that each hold both pipelines, and draw one prompt at a time.

    Args of the constructor:
        job: What every actor draws.
        address: Of a running cluster; None starts one on this machine.
        workers: How many actors; None: as many as the cluster has room for.
        limit_s: Seconds to wait for a worker where there is none.
        progress: Told of deaths and of waiting.
    """

    def __init__(
        self, job: WorkerJob, *, address: str | None, workers: int | None, limit_s: float, progress: Progress
    ) -> None:
        self._job, self._address, self._limit_s, self._progress = job, address, limit_s, progress
        self._wanted, self.workers = workers, 0
        self._ray: Any = None
        self._building: dict[Any, Any] = {}  # reference of a `ready` -> its actor
        self._drawing: dict[Any, tuple[Any, Prompt]] = {}
        self._idle: list[Any] = []
        self._fingerprint: Fingerprint | None = None

    def start(self) -> Fingerprint:
        """
        Join or start the cluster, and wait for the first worker.

        Raises:
            BackendUnavailable: Ray is not installed, there is no such cluster, or it has no room for a worker.
            CaseError, BackendError, BaselineError, BaselineChanged: As `build_drawer`.
        """
        self._join()
        room = self._room()
        self.workers = self._wanted or room
        actor_class = self._ray.remote(Worker).options(
            num_cpus=self._job.threads,
            num_gpus=1 if self._job.device == "cuda" else 0,
            max_restarts=-1,
            max_task_retries=0,
        )
        for _ in range(self.workers):
            self._build(actor_class.remote(self._job.model_dump_json()))
        later = f"; there is room for {room} now, the others start when there is more" if self.workers > room else ""
        self._progress.say(f"ray: {self.workers} worker(s) build their pipelines{later}")
        while self._fingerprint is None:
            self._look()
        return self._fingerprint

    def _join(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_worker_niceness", "0")  # by default workers of its own give way to all else
        try:
            import ray
        except ImportError:
            raise BackendUnavailable("--engine ray needs Ray: pip install 'nearlossless[ray]'") from None
        self._ray = ray
        options: dict[str, Any] = {"log_to_driver": False, "include_dashboard": False, "address": "local"}  # a new one
        if self._address is not None:
            _check_address(self._address)
            options = {"log_to_driver": False, "address": self._address}
        former = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(**options, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise BackendUnavailable(f"--address {self._address}: no Ray cluster can be joined: {error}") from None
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, former or signal.SIG_DFL)  # Ray takes it for itself

    def _room(self) -> int:
        """How many workers fit on the nodes."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        needs = {"CPU": float(self._job.threads), **({"GPU": 1.0} if self._job.device == "cuda" else {})}
        room = sum(min(int(node.get(name, 0.0) // amount) for name, amount in needs.items()) for node in nodes)
        if room < 1:
            has = "; ".join(", ".join(f"{node.get(name, 0.0):g} {name}" for name in needs) for node in nodes)
            wants = ", ".join(f"{amount:g} {name}" for name, amount in needs.items())
            raise BackendUnavailable(f"no worker available: one needs {wants}, the cluster's nodes have {has}")
        return room

    def _build(self, actor: Any) -> None:
        """Have an actor build its pipelines, wherever Ray starts it."""
        self._building[actor.ready.options(max_task_retries=BUILD_RETRIES).remote()] = actor

    def results(self, prompts: Iterable[Prompt], store: Store) -> Results:
        """
        Draw all prompts, each again on any worker if its own dies, at most twice.

        Raises:
            BackendUnavailable: All workers are gone and none came back in time.
        """
        ahead, again, deaths = _Ahead(prompts), deque[Prompt](), Counter[int]()
        while self._drawing or again or ahead.next is not None:
            self._hand_out(ahead, again, store)
            for prompt, drawn in self._look():
                if drawn is not None:
                    yield drawn
                    continue
                deaths[prompt.number] += 1
                self._progress.say(f"ray: a worker died while it drew prompt {prompt.number}; Ray starts it again")
                if deaths[prompt.number] < MOST_ATTEMPTS:
                    again.append(prompt)
                    continue
                problem = f"its worker died while drawing it, {MOST_ATTEMPTS} times"
                yield Drawn(result=unfinished(prompt, Status.SET_ASIDE, problem), pictures={})

    def _hand_out(self, ahead: "_Ahead", again: "deque[Prompt]", store: Store) -> None:
        """Give each idle worker a prompt, unless results would pile up behind a slow one."""
        while self._idle:
            numbers = [prompt.number for _, prompt in self._drawing.values()]
            if again:
                prompt = again.popleft()
            elif ahead.next is not None and (not numbers or ahead.next.number - min(numbers) < MOST_AHEAD):
                prompt = ahead.take()
            else:
                return
            actor = self._idle.pop()
            self._drawing[actor.draw.remote(prompt, store.cut)] = (actor, prompt)

    def _look(self) -> list[tuple[Prompt, Drawn | None]]:
        """Wait for something to happen; prompts that are done, and those (None) whose worker died."""
        found: list[tuple[Prompt, Drawn | None]] = []
        waited = time.monotonic()
        while True:
            done, _ = self._ray.wait([*self._building, *self._drawing], num_returns=1, timeout=_LOOK_EVERY_S)
            if done:
                break
            if not self._drawing and not self._idle and time.monotonic() - waited > self._limit_s:
                raise BackendUnavailable(
                    f"no worker available: none was ready within {self._limit_s:g} s (Ray's logs tell whether workers"
                    " die while they build their pipelines); results so far are kept, the same command goes on"
                )
        for reference in done:
            if reference in self._building:
                self._take_ready(reference)
            else:
                found.append(self._take_drawn(reference))
        return found

    def _take_ready(self, reference: Any) -> None:
        actor = self._building.pop(reference)
        try:
            fingerprint = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayActorError as error:
            raise BackendUnavailable(f"a worker is gone for good: {error}") from None
        known = self._fingerprint or fingerprint
        if (known.picture, known.stack) != (fingerprint.picture, fingerprint.stack):
            told = "; ".join(fingerprint.picture.differences(known.picture)) or "other versions"
            raise CaseError(f"workers are not alike, their pictures could not be compared: {told}")
        self._fingerprint = known
        self._idle.append(actor)

    def _take_drawn(self, reference: Any) -> tuple[Prompt, Drawn | None]:
        (actor, prompt), errors = self._drawing.pop(reference), self._ray.exceptions
        try:
            drawn = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except (errors.RayActorError, errors.ObjectLostError, errors.OutOfMemoryError, errors.NodeDiedError):
            self._build(actor)
            return prompt, None
        self._idle.append(actor)
        return prompt, drawn

    def close(self) -> None:
        """End the workers, and the cluster if it was started here."""
        if self._ray is not None:
            self._ray.shutdown()


def _check_address(address: str) -> None:
    """Ray tries for minutes to reach a cluster that is not there."""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host:  # 'auto', or ray://
        return
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
    except OSError as error:
        raise BackendUnavailable(f"--address {address}: no Ray cluster can be joined: {error}") from None


class _Ahead:
    """Prompts to come, with a look at the next one."""

    def __init__(self, prompts: Iterable[Prompt]) -> None:
        self._prompts = iter(prompts)
        self.next = next(self._prompts, None)

    def take(self) -> Prompt:
        """The next one."""
        assert self.next is not None
        prompt, self.next = self.next, next(self._prompts, None)
        return prompt
