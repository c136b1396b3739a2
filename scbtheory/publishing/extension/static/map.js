// A claim under the pointer or the keyboard's focus shows what it rests on and what rests on it.
document.addEventListener('DOMContentLoaded', () => {
  for (const map of document.querySelectorAll('.scb-map')) {
    const show = (claim) => {
      for (const edge of map.querySelectorAll('.scb-edge')) {
        edge.classList.toggle('scb-lit', [edge.dataset.below, edge.dataset.above].includes(claim));
      }
    };
    for (const link of map.querySelectorAll('a[data-claim]')) {
      for (const event of ['mouseenter', 'focus']) link.addEventListener(event, () => show(link.dataset.claim));
      for (const event of ['mouseleave', 'blur']) link.addEventListener(event, () => show(null));
    }
  }
});
