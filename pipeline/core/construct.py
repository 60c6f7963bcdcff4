"""Construction of objects from recipes: dict(name="vdvae.VDVAE", width=384) calls the class.

The constructor's signature is the schema. An unknown or missing key is a ConfigError that names the
nearest known one.
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
    """Return "did you mean ...?" if a known name is close, else a list of the known names."""
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
    """Check that `function` can be called with `arguments` and the caller's `given` ones.

    Raises:
      ConfigError: a key is missing or unknown, or a value has the wrong type.
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
    """Build the object that `recipe` names in `package`.

    `given` are arguments that the caller supplies and a recipe cannot set.
    """
    arguments = dict(recipe)
    name = arguments.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f"{where}.name is missing: name a class of {package}")
    target = find(package, name, where=where)
    check_arguments(target, arguments, where=where, given=given)
    return target(**arguments, **given)


def default_arguments(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the optional arguments of `function` with their defaults."""
    return {
        name: value.default
        for name, value in _parameters(function).items()
        if value.default is not value.empty
    }


def accepts(function: Callable[..., Any], name: str, value: Any) -> bool:
    """Return whether `function` takes `value` as its argument `name`, by its type."""
    parameters = _parameters(function)
    return name in parameters and _fits(value, parameters[name].annotation)


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    # Inspect a class's constructor: nnx's metaclass hides it behind (*args, **kwargs).
    signature = inspect.signature(function.__init__ if isinstance(function, type) else function)
    return {name: value for name, value in signature.parameters.items() if name != "self"}


def _fits(value: Any, annotation: Any) -> bool:
    """Return whether `value` fits `annotation`, by isinstance; an int also fits a float."""
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
    except TypeError:  # isinstance rejects Sequence[int] and the like: the function checks those
        return True
