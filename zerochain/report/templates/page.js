"use strict";
// Sorting of tables, and zoom, selection and playhead of utterances. Without it the page still shows
// everything. It makes no request, and only sets text and numbers: names in files are never markup.

for (const table of document.querySelectorAll("table.scores")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const choice = document.createElement("select");
  let last = { index: -1, up: true };

  const key = (row, index) => {
    const text = row.cells[index].dataset.value;
    if (index === 0) return row.cells[0].dataset.value || row.cells[0].textContent;
    return text === undefined || text === "" ? NaN : Number(text);
  };
  const sort = (index, up) => {
    const sorted = [...rows];
    if (index >= 0) {
      sorted.sort((a, b) => {
        const [x, y] = [key(a, index), key(b, index)];
        if (index === 0) return up ? x.localeCompare(y) : y.localeCompare(x);
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
        return up ? x - y : y - x;
      });
    }
    last = { index, up };
    body.append(...sorted);
    heads.forEach((head, i) => {
      if (i === index) head.setAttribute("aria-sort", up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    choice.value = String(index);
  };
  const firstWay = (index) => heads[index].dataset.direction !== "higher";

  choice.setAttribute("aria-label", "sort by");
  choice.append(new Option("order of the page", "-1"));
  heads.forEach((head, index) => {
    const label = head.querySelector(".label");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.title = "sort by this column";
    button.append(...label.childNodes);
    label.replaceWith(button);
    choice.append(new Option(head.dataset.name, String(index)));
    button.addEventListener("click", () => {
      const again = last.index === index;
      if (again && last.up !== firstWay(index)) sort(-1, true);
      else sort(index, again ? !last.up : firstWay(index));
    });
  });
  choice.addEventListener("change", () => {
    const index = Number(choice.value);
    sort(index, index < 0 || firstWay(index));
  });
  const label = document.createElement("label");
  label.className = "sorting";
  label.append("sort by ", choice);
  if (rows.length > 1) table.closest(".table").querySelector(".tools").prepend(label);
}

for (const view of document.querySelectorAll(".view")) {
  const scroll = view.querySelector(".scroll");
  const svg = scroll.querySelector("svg");
  const seconds = Number(view.dataset.seconds);
  const [left, right] = [Number(view.dataset.left), Number(view.dataset.right)];
  const tiers = JSON.parse(view.dataset.tiers);
  const audios = [...view.closest(".example").querySelectorAll("audio")];
  const natural = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")].map((text) => {
    const box = text.getBBox();
    const turned = /rotate\(-90/.test(text.getAttribute("transform") || "");
    return { text, turned, own: text.getAttribute("transform") || "",
      x: box.x + box.width / 2, y: box.y + box.height / 2 };
  });
  const canvas = document.createElement("div");
  const shade = document.createElement("div");
  const head = document.createElement("div");
  const bar = document.createElement("div");
  const said = document.createElement("output");
  const which = document.createElement("select");
  let zoom = 1;
  let chosen = null;
  let stopAt = Infinity;
  let playing = null;

  canvas.className = "canvas";
  shade.className = "shade";
  head.className = "playhead";
  bar.className = "tools";
  svg.replaceWith(canvas);
  canvas.append(svg, shade, head);
  view.append(bar);
  svg.setAttribute("preserveAspectRatio", "none");

  const width = () => natural.width * zoom;
  const place = (time) => (left + (right - left) * (time / seconds)) * width();
  const timeAt = (event) => {
    const x = (event.clientX - canvas.getBoundingClientRect().left) / width();
    return Math.min(seconds, Math.max(0, ((x - left) / (right - left)) * seconds));
  };
  const show = () => {
    canvas.style.width = `${width()}px`;
    svg.style.width = `${width()}px`;
    svg.style.height = `${natural.height}px`;
    for (const one of texts) { // stretched pictures, but not stretched letters
      const scale = one.turned ? `scale(1 ${1 / zoom})` : `scale(${1 / zoom} 1)`;
      const around = `translate(${one.x} ${one.y}) ${scale} translate(${-one.x} ${-one.y})`;
      one.text.setAttribute("transform", `${one.own} ${around}`);
    }
    shade.hidden = chosen === null;
    if (chosen) {
      shade.style.left = `${place(chosen[0])}px`;
      shade.style.width = `${place(chosen[1]) - place(chosen[0])}px`;
    }
    head.hidden = playing === null;
    if (playing) head.style.left = `${place(Math.min(seconds, playing.currentTime))}px`;
  };
  const describe = () => {
    if (!chosen) {
      said.textContent = "Drag over the picture to select.";
      return;
    }
    const inside = tiers.map(([name, segments]) => {
      const here = segments.filter(([from, to]) => to > chosen[0] && from < chosen[1]);
      return `${name}: ${here.map((one) => one[2]).join(" ") || "–"}`;
    });
    const times = `${chosen[0].toFixed(2)}–${chosen[1].toFixed(2)} s`;
    said.textContent = [times, ...inside].join(" · ");
  };
  const zoomTo = (value, time) => {
    zoom = Math.min(16, Math.max(1, value));
    show();
    scroll.scrollLeft = place(time) - scroll.clientWidth / 2;
  };
  const middle = () => {
    if (chosen) return (chosen[0] + chosen[1]) / 2;
    const x = (scroll.scrollLeft + scroll.clientWidth / 2) / width();
    return ((x - left) / (right - left)) * seconds;
  };
  const tick = () => {
    if (!playing) return;
    if (playing.currentTime >= stopAt) playing.pause();
    show();
    if (!playing.paused && !playing.ended) requestAnimationFrame(tick);
  };
  const play = () => {
    const audio = audios[Number(which.value)];
    for (const other of audios) other.pause();
    audio.currentTime = chosen ? chosen[0] : 0;
    stopAt = chosen ? chosen[1] : Infinity;
    audio.dataset.part = "1";
    audio.play();
  };
  const add = (text, title, action) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.title = title;
    button.addEventListener("click", action);
    bar.append(button);
    return button;
  };

  for (const audio of audios) {
    audio.addEventListener("play", () => {
      if (audio.dataset.part !== "1") stopAt = Infinity;
      delete audio.dataset.part;
      playing = audio;
      requestAnimationFrame(tick);
    });
    audio.addEventListener("seeked", () => { if (playing === audio) show(); });
    which.append(new Option(audio.dataset.what, String(which.length)));
  }
  which.setAttribute("aria-label", "sound");
  if (audios.length > 1) bar.append(which);
  if (audios.length) add("play", "play the selection, or all", play);
  add("+", "zoom in", () => zoomTo(zoom * 2, middle()));
  add("−", "zoom out", () => zoomTo(zoom / 2, middle()));
  add("zoom to selection", "show the selection as wide as the page", () => {
    if (!chosen) return;
    const share = ((chosen[1] - chosen[0]) / seconds) * (right - left) * natural.width;
    zoomTo(scroll.clientWidth / share, middle());
  });
  add("clear", "select nothing, zoom out", () => {
    chosen = null;
    zoomTo(1, 0);
    describe();
  });
  bar.append(said);
  let start = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch") return;
    start = timeAt(event);
    canvas.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const now = timeAt(event);
    chosen = Math.abs(now - start) < 0.01 ? null : [Math.min(start, now), Math.max(start, now)];
    describe();
    show();
  });
  canvas.addEventListener("pointerup", () => { start = null; });
  canvas.addEventListener("pointercancel", () => { start = null; });
  let tapped = null;
  canvas.addEventListener("click", (event) => { // on a phone two taps select: dragging scrolls
    if (event.pointerType !== "touch") return;
    const time = timeAt(event);
    chosen = tapped === null ? null : [Math.min(tapped, time), Math.max(tapped, time)];
    tapped = tapped === null ? time : null;
    if (tapped === null) describe();
    else said.textContent = `from ${time.toFixed(2)} s: tap where it ends`;
    show();
  });
  describe();
  show();
}
