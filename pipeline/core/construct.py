"""Construction of objects from recipes: dict(name="vdvae.VDVAE", width=384) calls the class.

The constructor's signature is the schema. An unknown or missing key is a ConfigError that names the
nearest known one.
"""

import ast
import contextlib
import difflib
import importlib
import importlib.util
import inspect
import pathlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pipeline.core.errors import ConfigError, StrataError, one_line


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
    """Import the class `package`.`name`, where name is "module.Class".

    The class must be defined in the package: what a module imports from elsewhere is not found, nor
    are functions and private names, because a recipe may come with a stranger's codec.

    Raises:
      ConfigError: there is no such class; the message names the nearest one.
    """
    module_name, _, attribute = name.rpartition(".")
    if not module_name or not all(_is_public(part) for part in name.split(".")):
        raise ConfigError(f"{where}.name={name!r} must be 'module.Name', a name in {package}")
    try:
        module = importlib.import_module(f"{package}.{module_name}")
    except ModuleNotFoundError as error:
        if error.name is None or not f"{package}.{module_name}".startswith(error.name):
            raise
        raise ConfigError(
            f"{where}.name={name!r}: there is no module {package}.{module_name}, "
            f"{nearest(module_name, modules_of(package))}"
        ) from None
    classes = {key: each for key, each in vars(module).items() if _is_class_of(package, each)}
    if attribute not in classes:
        raise ConfigError(
            f"{where}.name={name!r}: {nearest(attribute, filter(_is_public, classes))}"
        )
    return classes[attribute]


def _is_public(name: str) -> bool:
    return name.isidentifier() and not name.startswith("_")


def _is_class_of(package: str, value: Any) -> bool:
    return isinstance(value, type) and value.__module__.startswith(f"{package}.")


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
        if not fits(arguments[key], annotation):
            raise ConfigError(f"{where}.{key}={arguments[key]!r} must be {_spelled(annotation)}")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in arguments and name not in given:
            raise ConfigError(f"{where}.{name} is missing: {function.__qualname__} needs it")


def construct(package: str, recipe: Mapping[str, Any], *, where: str, **given: Any) -> Any:
    """Build the object that `recipe` names in `package`.

    `given` are arguments that the caller supplies and a recipe cannot set.

    Raises:
      ConfigError: a key is missing, unknown or of the wrong type, or the constructor fails; the
        message then names the keys that are most likely at fault.
    """
    if not isinstance(recipe, Mapping):
        raise ConfigError(f"{where}={recipe!r} must be a dict with the key 'name'")
    arguments = dict(recipe)
    name = arguments.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f"{where}.name is missing: name a class of {package}")
    target = find(package, name, where=where)
    check_arguments(target, arguments, where=where, given=given)
    with blaming(lambda: f"{suspects(arguments, where)}: {name} cannot be built"):
        return target(**arguments, **given)


@contextlib.contextmanager
def blaming(
    what: Callable[[], str], kind: Callable[[str], StrataError] = ConfigError
) -> Iterator[None]:
    """Turn an error raised inside, whatever its type, into one line that begins with `what`."""
    try:
        yield
    except StrataError:
        raise
    except Exception as error:
        words = one_line(error)[:200]
        raise kind(f"{what()}: {type(error).__name__}: {words}") from error


def suspects(arguments: Mapping[str, Any], where: str) -> str:
    """Return "where.key=value" of the arguments that may be at fault: unusual ones, or else all."""
    leaves = dict(_leaves(arguments, where))
    unusual = {key: value for key, value in leaves.items() if _is_unusual(value)}
    shown = unusual or {key: value for key, value in leaves.items() if _is_size(value)}
    return ", ".join(f"{key}={value!r}" for key, value in shown.items()) or where


def _leaves(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield where, value
        return
    for key, each in value.items():
        yield from _leaves(each, f"{where}.{key}")


def _is_unusual(value: Any) -> bool:
    """Return whether a size is not above 0, or holds or is such a size, or nothing."""
    if isinstance(value, str):
        return False
    if isinstance(value, Sequence):
        return len(value) == 0 or any(map(_is_unusual, value))
    return _is_size(value) and not 0 < value < 2**16


def _is_size(value: Any) -> bool:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(map(_is_size, value))
    return isinstance(value, int) and not isinstance(value, bool)


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
    return name in parameters and fits(value, parameters[name].annotation)


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    # Inspect a class's constructor: nnx's metaclass hides it behind (*args, **kwargs).
    try:
        signature = inspect.signature(function.__init__ if isinstance(function, type) else function)
    except (ValueError, TypeError):
        raise ConfigError(f"{function!r} cannot be named in a recipe") from None
    return {name: value for name, value in signature.parameters.items() if name != "self"}


def fits(value: Any, annotation: Any) -> bool:
    """Return whether `value` fits `annotation`, down to the elements of sequences and mappings.

    An int also fits a float, True and False are no numbers, and text is no sequence. What a check
    cannot decide fits: the function that takes the value checks it.
    """
    if annotation in (inspect.Parameter.empty, Any) or isinstance(annotation, str):
        return True
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return any(fits(value, each) for each in inner)
    if origin is Literal:
        return any(value == each and type(value) is type(each) for each in inner)
    if annotation is None:
        return value is None
    if origin is Callable:
        return value is not None and not isinstance(value, bool)
    if annotation in (int, float):
        return isinstance(value, (int, annotation)) and not isinstance(value, bool)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Sequence):
        return _fits_elements(value, origin, inner)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(
            fits(key, inner[0]) and fits(each, inner[1]) for key, each in value.items()
        )
    try:
        return isinstance(value, annotation)
    except TypeError:  # Callable[...] and the like
        return True


def _fits_elements(value: Any, origin: type, inner: tuple[Any, ...]) -> bool:
    if not isinstance(value, list | tuple):  # a recipe has no other sequences
        return False
    if origin is tuple and not (len(inner) == 2 and inner[1] is ...):
        return len(value) == len(inner) and all(map(fits, value, inner))
    return all(fits(each, inner[0]) for each in value)


def _spelled(annotation: Any) -> str:
    """Return an annotation as Python spells it, without the names of modules."""
    if annotation is NoneType:
        return "None"
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(map(_spelled, get_args(annotation)))
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return re.sub(r"\b(?:[a-z_]+\.)+(?=\w)", "", str(annotation))
