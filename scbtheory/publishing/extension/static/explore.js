// The reduced flow with sliders. Claims: R2 and R4 (flow, fixed points), S1 to S4 (stages), T1 and T4 (finetuning).
(() => {
  'use strict';

  // --- the mathematics, in the order (alpha, beta, gamma) -------------------------------------------------

  // Rates of a system: p = eta_A K_P, q = eta_V K_Q, d = eta_V / T, as in the package.
  function rates({K_P, K_Q, T, eta_A = 1, eta_V = 1, balanced = false}) {
    if (balanced) [eta_A, eta_V] = [1 / K_P, 1 / K_Q];
    const [p, q, d] = [eta_A * K_P, eta_V * K_Q, eta_V / T];
    return {K_P, K_Q, T, eta_A, eta_V, p, q, d, omega: Math.sqrt(p * q), skew: Math.sqrt(Math.sqrt(p / q))};
  }

  // T1 with K_hat = K_P and K_cross = share * K_P; share and gamma of 0 leave R2.
  function velocity(s, [a, b, g], share) {
    const overlap = s.p * (b + g * share);
    const power = s.p * (b * b + 2 * b * g * share + g * g);
    const norm = s.d + s.q * a * a;
    return [overlap - power * a, s.d + s.q * a - norm * b, -norm * g];
  }

  // Dormand and Prince's pair of orders 5 and 4; each step's error is below 1e-9 of the values or of the drift.
  const NODES = [
    [], [1 / 5], [3 / 40, 9 / 40], [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
  ];
  const ERROR = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40];

  // The three numbers at sorted times, from (0, 0, theta).
  function flow(system, times, {share = 0, theta = 0} = {}) {
    const s = rates(system);
    let [t, y, h] = [0, [0, 0, theta], 1e-3 / Math.max(s.p, s.q, s.omega)];
    const path = [];
    for (const target of times) {
      while (t < target) {
        const step = Math.min(h, target - t);
        const slopes = NODES.map(() => null);
        let moved = y;
        NODES.forEach((weights, stage) => {
          moved = y.map((value, i) => value + step * weights.reduce((sum, w, j) => sum + w * slopes[j][i], 0));
          slopes[stage] = velocity(s, moved, share);
        });
        const errors = y.map((value, i) => {
          const error = step * ERROR.reduce((sum, w, j) => sum + w * slopes[j][i], 0);
          return Math.abs(error) / (1e-9 * (Math.abs(value) + Math.min(s.d, s.d / s.q)));
        });
        const error = Math.max(...errors);
        if (error <= 1) [t, y] = [step < h ? target : t + step, moved];
        h = step * Math.min(4, Math.max(0.2, 0.9 * error ** -0.2));
      }
      path.push(y);
    }
    return path;
  }

  // S3, both orders; NaN where there is no first stage.
  function halfTime(system, order = 2) {
    const s = rates(system);
    const kappa = 0.75 * Math.log(1 + Math.SQRT2) - Math.SQRT2 / 4;
    const first = Math.log(2 * s.omega / (s.skew * s.d)) / s.omega;
    const share = (s.d / s.omega) * (0.5 + (kappa * s.skew) / (s.omega * first));
    if (!(first > 0 && share < 1)) return NaN;
    return first + (order === 2 ? (s.d / s.omega) * (first / 2 - (kappa * s.skew) / s.omega) : 0);
  }

  // S1: its bound on the relative error reaches a tenth then.
  function linearUntil(system) {
    const s = rates(system);
    const error = (t) => s.d * t + (s.d ** 2 / (4 * s.q * s.omega)) * (Math.sinh(2 * s.omega * t) - 2 * s.omega * t);
    let [low, high] = [0, Math.min(0.1 / s.d, 350 / s.omega)];
    for (let n = 0; n < 100; n++) {
      const middle = (low + high) / 2;
      if (error(middle) < 0.1) low = middle; else high = middle;
    }
    return low;
  }

  // R4: the growing eigenvalue at the saddle; T4: the correlation below which finetuning starts on the wrong branch.
  function growth(system) {
    const s = rates(system);
    const trace = s.d * (1 + s.d / s.q);
    return (Math.sqrt(trace ** 2 + 4 * s.p * s.q) - trace) / 2;
  }
  function wrongBelow(system) {
    const s = rates(system);
    const rate = (Math.sqrt(s.p ** 2 + 4 * s.p * s.q) - s.p) / 2;
    return -s.d / rate; // θK_× over K_P, at K_hat = K_P and θ = 1
  }

  // --- the pictures ---------------------------------------------------------------------------------------

  const [LEFT, RIGHT, TOP, BOTTOM] = [42, 428, 12, 262];
  const scale = (low, high, from, to) => (value) => from + ((value - low) / (high - low)) * (to - from);
  const round = (value) => value.toFixed(1);
  const line = (points, x, y) => points.map(([u, v], n) => `${n ? 'L' : 'M'}${round(x(u))} ${round(y(v))}`).join('');
  const path = (name, d) => `<path class="${name}" d="${d}"/>`;
  const write = (x, y, words, anchor = 'middle') =>
    `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${words}</text>`;

  function axes(x, y, xs, ys, label) {
    const ticks = xs.map((v) => write(x(v), BOTTOM + 16, +v.toPrecision(3)));
    const sides = ys.map((v) => write(LEFT - 6, y(v) + 4, v, 'end'));
    return path('scb-axis', `M${LEFT} ${TOP}V${BOTTOM}H${RIGHT}`) + ticks.join('') + sides.join('')
      + write((LEFT + RIGHT) / 2, BOTTOM + 33, label);
  }

  function course(system, share, end, edges) {
    const times = Array.from({length: 301}, (_, n) => (n * end) / 300);
    const [scratch, tuned] = [flow(system, times), flow(system, times, {share, theta: 1})];
    const top = Math.max(1.2, ...scratch.flatMap(([a, b]) => [a, b]).map((v) => 1.08 * v));
    const low = Math.min(0, ...tuned.map(([a]) => Math.max(-1, a))); // the wrong branch falls without end
    const [x, y] = [scale(0, end, LEFT, RIGHT), scale(low, top, BOTTOM, TOP)];
    const stages = edges.slice(1).map((right, n) => {
      const [from, to] = [x(Math.min(edges[n], end)), x(Math.min(right, end))];
      return `<rect class="scb-stage-${n + 1}" x="${round(from)}" y="${TOP}" width="${round(to - from)}" `
        + `height="${BOTTOM - TOP}"/>`;
    });
    const curves = [
      path('scb-alpha', line(scratch.map(([a], n) => [times[n], a]), x, y)),
      path('scb-beta', line(scratch.map(([, b], n) => [times[n], b]), x, y)),
      path('scb-tuned', line(tuned.map(([a], n) => [times[n], Math.max(low, a)]), x, y)),
      path('scb-half', `M${round(x(edges.half))} ${TOP}V${BOTTOM}`),
    ];
    const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => part * end);
    return [stages.join('') + curves.join('') + axes(x, y, ticks, low < -0.4 ? [-0.5, 0, 0.5, 1] : [0, 0.5, 1], 'time, in units of 1/η'), scratch];
  }

  function portrait(system, scratch) {
    const s = rates(system);
    const [low, high] = [-1.2, 2.2];
    const [x, y] = [scale(low, high, LEFT, RIGHT), scale(low, high, BOTTOM, TOP)];
    const arrows = [];
    for (let a = low + 0.1; a < high; a += 0.2) {
      for (let b = low + 0.1; b < high; b += 0.2) {
        const [da, db] = velocity(s, [a, b, 0], 0);
        const size = Math.hypot(da, db) + 1e-12;
        arrows.push(line([[a, b], [a + (0.13 * da) / size, b + (0.13 * db) / size]], x, y));
      }
    }
    const branch = (sign) => Array.from({length: 80}, (_, n) => sign * (1 / high + (n * (high - 1 / high)) / 79))
      .map((a) => [a, 1 / a]).filter(([a, b]) => Math.min(a, b) > low);
    const dot = (name, a, b) => `<circle class="${name}" cx="${round(x(a))}" cy="${round(y(b))}" r="5"/>`;
    const inside = scratch.filter(([a, b]) => Math.max(a, b) <= high);
    return path('scb-field', arrows.join(''))
      + path('scb-valley', line(branch(1), x, y) + line(branch(-1), x, y))
      + path('scb-axis', `M${round(x(0))} ${TOP}V${BOTTOM}M${LEFT} ${round(y(0))}H${RIGHT}`)
      + path('scb-trajectory', line(inside, x, y))
      + dot('scb-node', 1, 1) + dot('scb-saddle', -s.d / s.q, 0)
      + axes(x, y, [-1, 0, 1, 2], [-1, 0, 1, 2], 'α (attention); β (value) upwards');
  }

  function readout(system, scratch, times) {
    const [s, first, second] = [rates(system), halfTime(system, 1), halfTime(system)];
    const reached = scratch.findIndex(([a, b]) => a * b >= 0.5);
    let measured = NaN;
    if (reached > 0) {
      const [before, after] = [scratch[reached - 1], scratch[reached]].map(([a, b]) => a * b);
      measured = times[reached - 1] + ((0.5 - before) / (after - before)) * (times[reached] - times[reached - 1]);
    }
    const show = (value) => (Number.isFinite(value) ? String(+value.toPrecision(4)) : 'none');
    return [
      ['growth rate at the saddle (R4)', show(growth(system))],
      ['start to saddle, in α (R4)', show(s.d / s.q)],
      ['half time, predicted (S3)', `${show(first)}, second order ${show(second)}`],
      ['half time of this curve', show(measured)],
      ['stage 2 ends near (S4)', `α = ${show(s.skew)}, β = ${show(1 / s.skew)}`],
      ['wrong branch below θK× / K_P = (T4)', show(wrongBelow(system))],
    ].map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join('');
  }

  // --- the page -------------------------------------------------------------------------------------------

  function redraw() {
    const field = (name) => Number(document.getElementById(`scb-${name}`).value);
    const balanced = document.getElementById('scb-balanced').checked;
    const root = 2 ** (field('ratio') / 2);
    const system = {K_P: field('K_P'), K_Q: field('K_Q'), T: 10 ** field('T'), eta_A: root, eta_V: 1 / root, balanced};
    const s = rates(system);
    const half = halfTime(system);
    const end = Number.isFinite(half) ? 1.6 * half + 3 / s.omega : 20 / s.omega;
    const rise = half + Math.log(99) / (2 * s.omega);
    const edges = Number.isFinite(half) ? [0, linearUntil(system), rise, end] : [0, 0, 0, end];
    edges.half = Number.isFinite(half) ? half : 0;
    const [drawn, scratch] = course(system, field('share'), end, edges);
    document.getElementById('scb-course').innerHTML = drawn;
    document.getElementById('scb-portrait').innerHTML = portrait(system, scratch);
    const times = scratch.map((_, n) => (n * end) / (scratch.length - 1));
    document.getElementById('scb-readout').innerHTML = readout(system, scratch, times);
    document.getElementById('scb-ratio').disabled = balanced;
    const words = {T: String(Math.round(system.T)), ratio: balanced ? 'balanced' : (root * root).toPrecision(2)};
    for (const name of ['T', 'K_P', 'K_Q', 'share', 'ratio']) {
      document.getElementById(`scb-${name}-shown`).textContent = words[name] ?? field(name).toFixed(2);
    }
  }

  window.scbExplore = {flow, halfTime, linearUntil, growth, wrongBelow};
  document.addEventListener('DOMContentLoaded', () => {
    const page = document.querySelector('.scb-explore');
    if (!page) return;
    page.addEventListener('input', redraw);
    redraw();
  });
})();
