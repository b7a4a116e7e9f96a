"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const collator = new Intl.Collator("en", { numeric: true });

  const compare = (a, b, numbers) => (numbers ? Number(a) - Number(b) : collator.compare(a, b));

  const sort = (column) => {
    const heading = headings[column];
    // Largest first for numbers: what stands out is what people look for.
    const numbers = heading.classList.contains("number");
    const now = heading.getAttribute("aria-sort");
    const order = now === "none" ? (numbers ? "descending" : "ascending") : now === "ascending" ? "descending" : "ascending";
    headings.forEach((other) => other.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...body.rows].map((row) => ({ row, value: row.cells[column].dataset.value }));
    rows.sort((a, b) => {
      // Where there is no value, a row stays at the end in both orders.
      if (a.value === "" || b.value === "") return (a.value === "") - (b.value === "");
      return sign * compare(a.value, b.value, numbers);
    });
    body.append(...rows.map(({ row }) => row));
  };

  headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => sort(column)));
}
