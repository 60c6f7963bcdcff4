"""Import graph of a package, and the imports that break the rules of its layers."""

import ast
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

Imports = Mapping[str, Iterable[str]]  # module -> what it imports, all by their full names


def imports_of(folder: pathlib.Path) -> dict[str, set[str]]:
    """Return what each module of the package in `folder` imports from the package.

    Imports inside functions and under TYPE_CHECKING count as well. A name that is not a module
    stands for the module that it is imported from.
    """
    paths = {_name(path, folder): path for path in sorted(folder.rglob("*.py"))}
    return {
        module: {
            _module(name, paths) for name in _imported(path, module) if _is_in(name, folder.name)
        }
        - {folder.name}
        for module, path in paths.items()
    }


def upward_imports(imports: Imports, lines: Sequence[str]) -> list[str]:
    """Name each import that does not point strictly down, and each package without a line.

    `lines` are the packages from the bottom up; packages on one line ("a b") may not import each
    other. Modules may import from their own top-level package.
    """
    level = {package: depth for depth, line in enumerate(lines) for package in line.split()}
    found = []
    for module, others in imports.items():
        own = _package(module)
        if own is None:
            continue
        if own not in level:
            found.append(f"{own} has no line")
            continue
        for other in sorted(others):
            package = _package(other)
            if package == own or package is None:
                continue
            if package not in level:
                found.append(f"{package} has no line")
            elif level[package] >= level[own]:
                where = "on its line" if level[package] == level[own] else "above it"
                found.append(f"{module} imports {other}, which is {where}")
    return sorted(set(found))


def cycles(imports: Imports) -> list[list[str]]:
    """Return the import cycles between units, each as the sorted units that take part.

    A unit is an innermost package, or a module that lies next to subpackages.
    """
    modules = set(imports)
    with_subpackages = {
        package.rpartition(".")[0] for package in {module.rpartition(".")[0] for module in modules}
    }

    def unit(module: str) -> str:
        package = module if _is_package(module, modules) else module.rpartition(".")[0]
        return module if package in with_subpackages else package

    edges: dict[str, set[str]] = {}
    for module, others in imports.items():
        edges.setdefault(unit(module), set()).update(unit(other) for other in others)
    reach = {start: _reachable(start, edges) for start in edges}
    groups = {
        tuple(sorted(other for other in reach[start] if start in reach.get(other, ())))
        for start in edges
    }
    return sorted(list(group) for group in groups if len(group) > 1)


def crowded_folders(folder: pathlib.Path, most: int, exempt: Sequence[str] = ()) -> list[str]:
    """Name each folder with more than `most` modules, __init__.py not counted."""
    found = []
    for each in sorted({path.parent for path in folder.rglob("*.py")}):
        count = sum(path.name != "__init__.py" for path in each.glob("*.py"))
        if count > most and str(each.relative_to(folder)) not in exempt:
            found.append(f"{each.relative_to(folder)} has {count} modules")
    return found


def recipe_reads(folder: pathlib.Path) -> list[str]:
    """Name each place that reads a key of a variable or attribute called config or settings."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Subscript) or (
                isinstance(node, ast.Attribute) and node.attr in ("get", "items", "pop")
            ):
                read = node.value
            else:
                continue
            name = getattr(read, "id", getattr(read, "attr", "")).lstrip("_")
            if name in ("config", "settings"):
                found.append(f"{path.relative_to(folder)}:{node.lineno} reads {ast.unparse(node)}")
    return found


def _name(path: pathlib.Path, folder: pathlib.Path) -> str:
    parts = path.relative_to(folder.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(path: pathlib.Path, module: str) -> Iterator[str]:
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)


def _is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _module(name: str, modules: Iterable[str]) -> str:
    """Return the longest prefix of a dotted name that is a module."""
    while name not in modules and "." in name:
        name = name.rpartition(".")[0]
    return name


def _package(module: str) -> str | None:
    """Return the top-level package of a module; None for the root itself."""
    return module.split(".")[1] if "." in module else None


def _is_package(module: str, modules: Iterable[str]) -> bool:
    return any(other.startswith(f"{module}.") for other in modules)


def _reachable(start: str, edges: Mapping[str, set[str]]) -> set[str]:
    seen, left = {start}, [start]
    while left:
        for other in edges.get(left.pop(), ()):
            if other not in seen:
                seen.add(other)
                left.append(other)
    return seen
