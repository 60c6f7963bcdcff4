"""The memory that XLA says a compiled program needs on one device."""

import dataclasses
from typing import Any

from pipeline.backend import cpu_scratch


@dataclasses.dataclass(frozen=True)
class ProgramMemory:
    """Bytes of a program on one device.

    Attributes:
      arguments, outputs: what goes in and what comes out.
      aliased: outputs that take the place of arguments that were donated.
      temporary: intermediate results, at the program's peak.
      code: the program itself, where it lies in the device's memory.
      scratch: what operations allocate by themselves, on a CPU (pipeline.backend.cpu_scratch).
    """

    arguments: int
    outputs: int
    aliased: int
    temporary: int
    code: int
    scratch: int = 0

    @property
    def total(self) -> int:
        """All bytes while the program runs."""
        return self.arguments + self.running

    @property
    def running(self) -> int:
        """Bytes that the program needs besides its arguments."""
        return self.outputs - self.aliased + self.temporary + self.code + self.scratch


def of(compiled: Any, *, on_cpu: bool = False) -> ProgramMemory | None:
    """Return the memory of a compiled program; None if its backend does not say.

    `on_cpu` is whether it is a CPU's, of which the scratch memory is estimated too.
    """
    found = compiled.memory_analysis()
    if found is None:
        return None
    return ProgramMemory(
        arguments=found.argument_size_in_bytes,
        outputs=found.output_size_in_bytes,
        aliased=found.alias_size_in_bytes,
        temporary=found.temp_size_in_bytes,
        code=found.generated_code_size_in_bytes,
        scratch=cpu_scratch.largest(compiled.as_text()) if on_cpu else 0,
    )
