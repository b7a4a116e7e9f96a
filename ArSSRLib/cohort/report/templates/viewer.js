"use strict";
for (const viewer of document.querySelectorAll(".viewer")) {
  const lines = JSON.parse(viewer.dataset.lines);
  const planes = [...viewer.querySelectorAll(".plane")];
  const swipe = viewer.querySelector('[data-control="swipe"]');

  const setSwipe = (value) => {
    const percent = Math.max(0, Math.min(100, Math.round(value)));
    swipe.value = percent;
    swipe.setAttribute("aria-valuetext", `${percent} % of the picture shows the left volume`);
    viewer.style.setProperty("--swipe", percent);
  };

  const sliceOf = (number) => Number(planes[number].querySelector('[data-control="slice"]').value) - 1;

  const setSlice = (number, index) => {
    const plane = planes[number];
    const count = Number(plane.dataset.count);
    const slice = Math.max(0, Math.min(count - 1, index));
    const control = plane.querySelector('[data-control="slice"]');
    control.value = slice + 1;
    control.setAttribute("aria-valuetext", `slice ${slice + 1} of ${count}`);
    plane.style.setProperty("--slice", slice);
    plane.querySelector("output").textContent = `${slice + 1} / ${count}`;
    // The other planes show where this slice cuts them.
    lines.forEach((own, other) => {
      for (const way of ["column", "row"]) {
        if (own[way].plane === number) planes[other].style.setProperty(`--${way}`, own[way].places[slice]);
      }
    });
  };

  const nearest = (places, where) =>
    places.reduce((best, place, n) => (Math.abs(place - where) < Math.abs(places[best] - where) ? n : best), 0);

  const link = (number, across, down) => {
    const own = lines[number];
    setSlice(own.column.plane, nearest(own.column.places, across));
    setSlice(own.row.plane, nearest(own.row.places, down));
  };

  const show = (side, name) => {
    for (const image of viewer.querySelectorAll(`.side.${side} img`)) image.hidden = image.dataset.layer !== name;
    for (const key of viewer.querySelectorAll(".key")) {
      key.hidden = key.dataset.key !== viewer.querySelector('[data-side="right"]').value;
    }
  };

  swipe.addEventListener("input", () => setSwipe(Number(swipe.value)));
  for (const choice of viewer.querySelectorAll("[data-side]")) {
    choice.addEventListener("change", () => show(choice.dataset.side, choice.value));
    show(choice.dataset.side, choice.value);  // a browser may remember what was chosen
  }
  planes.forEach((plane, number) => {
    const stage = plane.querySelector(".stage");
    const control = plane.querySelector('[data-control="slice"]');
    control.addEventListener("input", () => setSlice(number, Number(control.value) - 1));
    stage.addEventListener("keydown", (event) => {
      const moves = {
        ArrowUp: () => setSlice(number, sliceOf(number) + 1),
        ArrowDown: () => setSlice(number, sliceOf(number) - 1),
        ArrowRight: () => setSwipe(Number(swipe.value) + 2),
        ArrowLeft: () => setSwipe(Number(swipe.value) - 2),
        Home: () => setSlice(number, 0),
        End: () => setSlice(number, Number(plane.dataset.count) - 1),
      };
      if (event.altKey || event.ctrlKey || event.metaKey || !(event.key in moves)) return;
      moves[event.key]();
      event.preventDefault();
    });
    let start = null;
    const placeOf = (event) => {
      const box = stage.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    stage.addEventListener("pointerdown", (event) => {
      start = { x: event.clientX, moved: false };
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => {
      if (start === null) return;
      start.moved = start.moved || Math.abs(event.clientX - start.x) > 3;
      if (start.moved) setSwipe(100 * placeOf(event)[0]);
    });
    stage.addEventListener("pointerup", (event) => {
      if (start !== null && !start.moved) link(number, ...placeOf(event));
      start = null;
    });
    stage.addEventListener("pointercancel", () => { start = null; });
    setSlice(number, Number(control.value) - 1);
  });
  setSwipe(Number(swipe.value));
}
