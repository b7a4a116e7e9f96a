"""The live preview never shows an outdated plane under random scrolling, pauses, lost answers and closing."""

from __future__ import annotations

from dataclasses import replace

from ArSSRPanel.preview_state import Phase, PreviewState, Question, Target
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

HERE = Target("Red", (0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (8, 8), (2.0, 2.0, 2.0), (0.0,) * 16)
TARGETS = st.builds(
    lambda view, height, scale: replace(HERE, view=view, origin=(0.0, 0.0, height), scale=(scale, scale, scale)),
    st.sampled_from(["Red", "Green"]),
    st.sampled_from([0.0, 1.0, 2.0]),
    st.sampled_from([2.0, 3.0]),
)


class Preview(RuleBasedStateMachine):
    """A preview and a worker that keeps only the newest request, and abandons exact work for a newer request."""

    def __init__(self):
        super().__init__()
        self.state = PreviewState()
        self.wanted = None
        self.waiting: Question | None = None
        self.working: Question | None = None
        self.numbers: list[int] = []

    def send(self, question):
        if question is None:
            return
        assert self.state.phase == Phase.ON, "a question before the worker is ready, or after the end"
        self.numbers.append(question.number)
        if self.working is None or self.working.exact:
            self.working = question
        else:
            self.waiting = question

    @rule()
    def start(self):
        self.state.start()
        self.wanted = self.waiting = self.working = None

    @rule()
    def become_ready(self):
        self.state.ready()
        self.send(self.state.next())

    @rule()
    def stop(self):
        self.state.stop()
        self.wanted = None  # an answer may still be pending

    @rule(aim=TARGETS)
    def move(self, aim):
        self.state.want(aim)
        self.wanted = aim if self.state.phase != Phase.OFF else None
        self.send(self.state.next())

    @rule()
    def leave_the_volume(self):
        self.state.want(None)
        self.wanted = None

    @rule()
    def rest(self):
        self.send(self.state.rest())

    @rule(better=st.booleans())
    def answer(self, better):
        done, self.working, self.waiting = self.working, self.waiting, None
        if done is None:
            return
        before = self.state.shown
        shown = self.state.answered(done.number, exact=done.exact or better)
        if shown is not None:
            assert shown.target == done.target
            assert before is None or shown.number > before.number, "an older answer replaced a newer one"

    @rule()
    def refuse(self):
        done, self.working, self.waiting = self.working, self.waiting, None
        if done is not None:
            current = self.state.refused(done.number)
            assert not current or done.target == self.wanted

    @rule(aim=TARGETS)
    def settle(self, aim):
        """When the user stops, the exact plane at the last position is shown, regardless of what happened before."""
        if self.state.phase != Phase.ON:
            return
        self.move(aim)
        self.leave_the_volume()
        self.move(aim)
        for _ in range(4):
            self.answer(better=False)
            self.rest()
        assert self.state.shown is not None
        assert (self.state.shown.target, self.state.shown.exact) == (aim, True)
        assert self.state.next() is None, "what is shown is asked for again"
        assert self.state.rest() is None, "an exact plane is asked for again"

    @invariant()
    def nothing_is_shown_that_is_not_wanted(self):
        if self.state.phase != Phase.ON or self.wanted is None:
            assert self.state.shown is None
        elif self.state.shown is not None:
            assert self.state.shown.target.view == self.wanted.view

    @invariant()
    def numbers_rise(self):
        assert self.numbers == sorted(set(self.numbers))


TestPreview = Preview.TestCase
