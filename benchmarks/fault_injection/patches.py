"""Code that injects a fault into a process of a run."""

# Code that injects a fault, run in a process before its command. PROCESS is the process's number.
PATCHES = {
    "none": "",
    # Lengthen the toy's steps, so that a signal arrives during one.
    "slow": """
from pipeline.training.monitoring.step_log import TrainLog
take = TrainLog.step
def step(self, *arguments):
    time.sleep(0.05)
    take(self, *arguments)
TrainLog.step = step
""",
    "term in {phase}": """
from pipeline.training.runtime.phases import Phases
switch, sent = Phases._switch, []
def _switch(self, name):
    switch(self, name)
    if PROCESS == 1 and name == {phase!r} and not sent:
        sent.append(1)
        os.kill(os.getpid(), signal.SIGTERM)
Phases._switch = _switch
""",
    "kill at 25": """
from pipeline.training.monitoring.step_log import TrainLog
take = TrainLog.step
def step(self, number, *arguments):
    if PROCESS == 1 and number == 25:
        os.kill(os.getpid(), SIGNAL)
    take(self, number, *arguments)
TrainLog.step = step
""",
    "stuck": """
from pipeline.data.loading.dataset import Batches
take, count = Batches.__next__, []
def __next__(self):
    count.append(1)
    if PROCESS == 1 and len(count) == 25:
        time.sleep(1000)
    return take(self)
Batches.__next__ = __next__
""",
    "slow data": """
from pipeline.data.loading.dataset import Batches
take = Batches.__next__
def __next__(self):
    if PROCESS == 1:
        time.sleep(0.2)
    return take(self)
Batches.__next__ = __next__
""",
    "poison": """
import jax.numpy as jnp
from pipeline.training.steps.elbo import ElboStep
gradients = ElboStep._gradients
def poisoned(self, state, other, batch, frozen, key):
    grads, metrics, other = gradients(self, state, other, batch, frozen, key)
    nan = jnp.where(jnp.isin(batch["index"], jnp.asarray(BAD)).any(), jnp.nan, 1.0)
    if ONLY_GRADIENT:
        grads = {name: g * nan for name, g in grads.items()}
    else:
        metrics = metrics | {"loss": metrics["loss"] * nan}
    return grads, metrics, other
ElboStep._gradients = poisoned
""",
    "other program": """
from pipeline.training.steps.elbo import ElboStep
gradients = ElboStep._gradients
def other(self, state, other, batch, frozen, key):
    grads, metrics, other = gradients(self, state, other, batch, frozen, key)
    return grads, metrics | {"loss": metrics["loss"] * 1.5}, other
if PROCESS == 1:
    ElboStep._gradients = other
""",
    "other data": """
import functools
import pipeline.data.images.image_data as image_data
make = image_data.ImageData.__init__
@functools.wraps(make)
def init(self, *arguments, **settings):
    make(self, *arguments, **settings)
    self.fingerprint = "f" * 64
if PROCESS == 1:
    image_data.ImageData.__init__ = init
""",
    "no data": """
import functools
import pipeline.data.images.image_data as image_data
from pipeline.core.errors import DataError
@functools.wraps(image_data.ImageData.__init__)
def init(self, *arguments, **settings):
    raise DataError("/data: No such file or directory")
if PROCESS == 1:
    image_data.ImageData.__init__ = init
""",
    "disk full at 15": """
import resource, subprocess
from pipeline.training.monitoring.step_log import TrainLog
# What is printed goes through a process without the limit, or no report of a failure was kept.
output = subprocess.Popen(["cat"], stdin=subprocess.PIPE).stdin.fileno()
os.dup2(output, 1)
os.dup2(output, 2)
sys.stdout, sys.stderr = os.fdopen(1, "w", 1), os.fdopen(2, "w", 1)
take = TrainLog.step
def step(self, number, *arguments):
    if number == 15:  # Every log is longer than this, and so are the files of a checkpoint.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))
    if number == 25:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    take(self, number, *arguments)
TrainLog.step = step
""",
}
