"""Builds an object from a recipe: dict(name="vdvae.VDVAE", width=384, ...) -> the class, called with the rest.

The constructor's signature is the schema. An unknown or missing key is a ConfigError naming the nearest known one.
"""

import ast
import difflib
import importlib
import importlib.util
import inspect
import pathlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, get_args

from pipeline.core.errors import ConfigError


def nearest(name: str, known: Iterable[str]) -> str:
    """Says "did you mean ...?" when something close is known, else lists what is known."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def modules_of(package: str) -> tuple[str, ...]:
    """Return the names of the modules and subpackages in `package`, sorted, without importing them.

    Names that begin with an underscore are private and left out.
    """
    folder = importlib.import_module(package).__path__
    names = (module.name for module in pkgutil.iter_modules(folder))
    return tuple(sorted(name for name in names if not name.startswith("_")))


def summaries(package: str) -> dict[str, str]:
    """Return the first line of each module's docstring, by module name, without importing them."""
    found = {}
    for name in modules_of(package):
        spec = importlib.util.find_spec(f"{package}.{name}")
        assert spec is not None and spec.origin is not None
        tree = ast.parse(pathlib.Path(spec.origin).read_text(encoding="utf-8"))
        found[name] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def load(package: str, name: str, *, where: str) -> ModuleType:
    """Import the module `name` of `package`; `where` is the setting that names it, for messages.

    Raises:
      ConfigError: there is no such module; the message names the nearest one.
    """
    if name not in modules_of(package):
        raise ConfigError(f"{where}={name!r} is not known: {nearest(name, modules_of(package))}")
    return importlib.import_module(f"{package}.{name}")


def find(package: str, name: str, *, where: str) -> Callable[..., Any]:
    """Import `package`.`name`, where name is "module.Class"."""
    module_name, _, attribute = name.rpartition(".")
    if not module_name:
        raise ConfigError(f"{where}.name={name!r} must be 'module.Name', a name in {package}")
    try:
        module = importlib.import_module(f"{package}.{module_name}")
    except ModuleNotFoundError as error:
        if error.name != f"{package}.{module_name}":
            raise
        raise ConfigError(
            f"{where}.name={name!r}: there is no module {package}.{module_name}, "
            f"{nearest(module_name, modules_of(package))}"
        ) from None
    if not hasattr(module, attribute):
        public = [key for key in vars(module) if not key.startswith("_")]
        raise ConfigError(f"{where}.name={name!r}: {nearest(attribute, public)}")
    return getattr(module, attribute)


def check_arguments(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    *,
    where: str,
    given: Iterable[str] = (),
):
    """Raises ConfigError for keys that `function` lacks or does not take, and for values of a wrong plain type.

    `given` are supplied by the caller.
    """
    parameters = _parameters(function)
    given = set(given)
    known = [name for name in parameters if name not in given]
    for key in arguments:
        if key not in known:
            raise ConfigError(
                f"{where}.{key} is not a setting of {function.__qualname__}: {nearest(key, known)}"
            )
        annotation = parameters[key].annotation
        if not _fits(arguments[key], annotation):
            wanted = getattr(annotation, "__name__", annotation)
            raise ConfigError(f"{where}.{key}={arguments[key]!r} must be {wanted}")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in arguments and name not in given:
            raise ConfigError(f"{where}.{name} is missing: {function.__qualname__} needs it")


def construct(package: str, recipe: Mapping[str, Any], *, where: str, **given: Any) -> Any:
    """Builds the object that `recipe` names in `package`; `given` are arguments that are not the recipe's to choose."""
    arguments = dict(recipe)
    name = arguments.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f"{where}.name is missing: name a class of {package}")
    target = find(package, name, where=where)
    check_arguments(target, arguments, where=where, given=given)
    return target(**arguments, **given)


def default_arguments(function: Callable[..., Any]) -> dict[str, Any]:
    """The arguments that `function` does without, and their defaults."""
    return {
        name: value.default
        for name, value in _parameters(function).items()
        if value.default is not value.empty
    }


def accepts(function: Callable[..., Any], name: str, value: Any) -> bool:
    """Whether `function` takes a value of this type under this name, as far as `check_arguments` can tell."""
    parameters = _parameters(function)
    return name in parameters and _fits(value, parameters[name].annotation)


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    # A class is asked through its constructor: that of nnx.Module hides behind the metaclass's (*args, **kwargs).
    signature = inspect.signature(function.__init__ if isinstance(function, type) else function)
    return {name: value for name, value in signature.parameters.items() if name != "self"}


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a value is of the type asked for, as far as isinstance can tell; a whole number is also a float."""
    if annotation in (inspect.Parameter.empty, Any):
        return True
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and float in (annotation, *get_args(annotation))
    ):
        return True
    try:
        return isinstance(value, annotation)
    except TypeError:  # Sequence[int] and the like are for the function to check
        return True
