"use strict";
// Names of clusters, saved as a table of all spans. Without it the page still plays everything. It
// makes no request.

const bar = document.querySelector(".save");
if (bar) {
  const rows = JSON.parse(document.getElementById("rows").textContent);
  const inputs = [...document.querySelectorAll(".name input")];
  const status = bar.querySelector("[role=status]");
  let unsaved = false;

  const names = () => {
    const given = new Map();
    for (const input of inputs) {
      const name = input.value.trim();
      if (name) given.set(input.dataset.label, name);
    }
    return given;
  };
  // As zerochain writes tables: a spreadsheet would run a text that begins with one of = + - @.
  const cell = (value) => {
    if (typeof value === "number") return String(value);
    const text = /^[=+\-@\t]/.test(value) ? `'${value}` : value;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const table = () => {
    const given = names();
    const lines = rows.map(([recording, start, end, label, ...rest]) =>
      [recording, start, end, given.get(label) ?? label, ...rest].map(cell).join(","));
    return [bar.dataset.columns, ...lines, ""].join("\n");
  };

  bar.hidden = false;
  for (const input of inputs) {
    input.closest(".name").hidden = false;
    input.addEventListener("input", () => {
      unsaved = true;
      const n = names().size;
      status.textContent = `${n} ${n === 1 ? "name" : "names"}, not saved yet`;
    });
  }
  bar.querySelector("button").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
    link.download = bar.dataset.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    unsaved = false;
    status.textContent = `saved as ${bar.dataset.file}`;
  });
  window.addEventListener("beforeunload", (event) => {
    if (unsaved) event.preventDefault();
  });
}
