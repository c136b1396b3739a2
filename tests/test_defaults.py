"""The defaults of every public function of the mathematical core: one that moves changes what users compute."""

import importlib
import inspect

ROOMS = (
    "dynamics", "landscape", "limits", "model", "noise", "population", "softmax", "streaming", "task", "training",
    "transfer",
)  # fmt: skip


def public():
    """Functions, classes and their methods by name."""
    for room in ROOMS:
        module = importlib.import_module(f"scbtheory.{room}")
        for name in module.__all__:
            thing = getattr(module, name)
            written = getattr(thing, "__module__", "").startswith(module.__name__)
            if inspect.isfunction(thing) and written:
                yield f"{room}.{name}", thing
            elif inspect.isclass(thing) and written and not issubclass(thing, BaseException):
                yield f"{room}.{name}", thing
                for method, function in inspect.getmembers(thing):
                    if method in vars(thing) and hasattr(function, "__code__") and not method.startswith("_"):
                        yield f"{room}.{name}.{method}", function


def defaults(function):
    """As they would be written."""
    parameters = inspect.signature(function).parameters.values()
    given = [p for p in parameters if p.default is not p.empty and not p.name.startswith("_")]
    return ", ".join(f"{p.name}={p.default!r}" for p in given)


def test_every_default_is_the_stated_one():
    found = {name: text for name, function in public() if (text := defaults(function))}
    stated = dict(line.split(": ", 1) for line in STATED.replace("\n    ", " ").strip().splitlines())
    assert found == stated


STATED = """
dynamics.System: eta_V=1.0, eta_A=1.0, balanced=False
dynamics.attention_held: beta=0.0, eta_V=1.0
dynamics.attention_held_rate: eta_V=1.0
dynamics.descend: start=(0.0, 0.0)
dynamics.describe: q_min=None
dynamics.flow: start=(0.0, 0.0)
dynamics.half_time: order=1
dynamics.high_precision_flow: digits=30
dynamics.high_precision_half_time: level=0.5, digits=30
dynamics.linearised_until: error=0.1
dynamics.matrix_descend: eta_V=1.0, eta_A=1.0, balanced=False
dynamics.matrix_flow: eta_V=1.0, eta_A=1.0, balanced=False
dynamics.product: c=0.0
limits.budget: transferred=0.7
limits.chain_batch: step=0
limits.cramer_rao: mu='unknown'
limits.estimated_error: mu=None
limits.fano_samples: error=0.1
limits.least_squares_error: mu='known'
limits.maximum_likelihood: mu=None, start=None
limits.moment_statistic: step=0, first=0, mu=None
limits.samples_for_support: false_alarm=0.1, miss=0.1
limits.support_by_moments: false_alarm=0.1
model.Parameters.random: admissible=False
model.minibatch_gradient: projected=False
noise.SignRecursion.probability: n=None
noise.added_variance: attention_step_size=None
noise.attention_noise_variance: exact=False
noise.attention_snr: batch_size=1, exact=False
noise.noise_scale: centred=True
noise.passing: c=1.0
noise.rates: attention_step_size=None
noise.sign_batch: attention_step_size=None, corrected=False
noise.sign_noise: exact=False
noise.sign_probability: attention_step_size=None, corrected=False
noise.sign_recursion: attention_step_size=None
noise.sign_steps: attention_step_size=None, reach=0.5
noise.support_batch: c=1.0
noise.threshold: c=1.0
noise.train_signs: attention_step_size=None, reach=0.5
noise.universal_threshold: c=1.0
noise.value_gradient_second_moment: centred=True, by_trigger=False
softmax.SoftmaxDescent: step_size=0.1, eta_V=1.0, eta_A=1.0, scale='peak', max_steps=4611686018427387904, name='softmax'
softmax.agreement: relative=0.25
softmax.descent: step_size=0.1, batch_size=1024, steps=None, scale='peak'
softmax.flow: start=(0.0, 0.0), scale='none'
softmax.matrix_flow: scale='none', eta_V=1.0, eta_A=1.0
softmax.velocity: scale='none'
streaming.draw_packs: step=0, first=0, memory=67108864
streaming.gradient: step=0, first=0, projected=False, packed=False, memory=67108864
task.SCB: backend='numpy', dtype=None
task.SCB.on: backend=None, dtype=None
task.SCB.random: seed=0
task.SCB.sample: step=0, first=0
task.SCB.sample_at: step=0, first=0
training.Adam: beta_1=0.9, beta_2=0.999, epsilon=1e-08, max_steps=4611686018427387904, name='adam'
training.Boost: step_size=0.1, eta_V=1.0, eta_A=1.0, standing_out=6.0, max_steps=120, name='boost', last_batch=None
training.Descent: projected=False, eta_V=1.0, eta_A=1.0, max_steps=4611686018427387904, name='sgd'
training.Draws: memory=268435456
training.History: rows=<factory>, boundaries=<factory>, divergence=None, status='paused', theta=None, model=None,
    state=<factory>, description=<factory>
training.Learner: counts=None, samples=0, packed=False, memory=<factory>, draws=None
training.Learner.descend: adam=None
training.Likelihood: batch_size=256, tolerance=5e-05, max_steps=4000, name='likelihood'
training.MomentStart: false_alarm=0.1, name='moments'
training.Proximal: step_size=0.1, eta_V=1.0, eta_A=1.0, c=0.3, mass=0.5, patience=5, max_steps=400, name='proximal'
training.Refit: step_size=0.1, eta_V=1.0, eta_A=1.0, tolerance=5e-05, max_steps=3840, name='refit'
training.Round: relative=0.1, name='round'
training.adam: batch_size=256
training.algorithm: step_size=0.1, K_P=None, K_Q=None, batch_sizes=None, c=0.3, tolerance=5e-05, first='boost',
    last='refit'
training.boost_batch: step_size=0.1, sign=6.0
training.projected_sgd: step_size=0.1, batch_size=256
training.prominent: relative=0.1
training.proximal_batch: share=0.5
training.rounded: relative=0.1
training.sgd: batch_size=256
training.train: seed=0, start=None, max_samples=None, mu='known', packed=None, record=1.05, checkpoint=None,
    progress=False, draws=None
transfer.flow: theta=1.0
transfer.other_law: samples=50000, level=0.5, seed=0
transfer.pretrained: spread=0.9, seed=0
transfer.shifted: seed=0
transfer.start: theta=1.0
transfer.time_to: theta=1.0, longest=1000000.0
"""
