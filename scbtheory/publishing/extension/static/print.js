// Paper cannot be unfolded: while a page is printed, solutions and rejected versions lie open.
(() => {
  const FOLDED = "details.sd-dropdown:not([open]), details.scb-controls:not([open])";
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll(FOLDED)];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
  });
})();
