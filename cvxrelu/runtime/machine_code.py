"""Machine code of kernels: object files compiled by numba, cached in the first writable folder, loaded by LLVM."""

import contextlib
import functools
import hashlib
import os
import pathlib
import platform
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import llvmlite.binding as llvm

from cvxrelu._files import replacing
from cvxrelu.exceptions import CompilationCacheWarning
from cvxrelu.runtime.blas import addresses
from cvxrelu.runtime.lazy_imports import numba_kernels

if TYPE_CHECKING:
    from cvxrelu.runtime.compilation import Kernel

# Modules that machine code depends on, beside the kernels.
_SOURCES = ("blas.py", "compilation.py", "numba_kernels.py", "numba_vectors.py", "vectors.py")
_FOLDER = "NUMBA_CACHE_DIR"  # as for numba's own cache
_THREADS = "NUMBA_NUM_THREADS"  # set by joblib in its workers; kernels run in one thread
_HASH = hashlib.sha256().digest_size
_warned = False
_version = functools.cache(version)  # reading the metadata takes about a millisecond


def load(kernel: "Kernel", signature: str) -> int:
    """Return the address of a kernel's machine code, loaded from the cache or compiled and cached."""
    _initialize_llvm()
    files = _files(kernel, signature)
    found = next((code for code in map(_read, files) if code is not None), None)
    if found is None:
        found = numba_kernels.machine_code(kernel.dispatcher, signature)
        _save(files, *found)
    symbol, code = found
    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return int(engine.get_function_address(symbol))


def is_cached(kernel: "Kernel", signature: str) -> bool:
    """Return whether a kernel's machine code is in the cache."""
    return any(_read(file) is not None for file in _files(kernel, signature))


def _files(kernel: "Kernel", signature: str) -> list[pathlib.Path]:
    """Return the files in which a kernel's machine code may be cached, in the order of preference."""
    name, key = f"{kernel.function.__module__}.{kernel.function.__qualname__}", _key(kernel, signature)
    return [folder / f"{name}-{key[:16]}.kernel" for folder in _folders(kernel)]


@functools.cache
def _initialize_llvm() -> None:
    """Initialize LLVM for this machine and register the symbols of the BLAS routines."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for symbol, address in addresses().items():
        llvm.add_symbol(symbol, address)


_engines: list[Any] = []  # kept alive for the process, as their code is called


def _engine() -> Any:
    target = llvm.Target.from_triple(llvm.get_process_triple())
    _engines.append(llvm.create_mcjit_compiler(llvm.parse_assembly(""), target.create_target_machine(jit=True)))
    return _engines[-1]


def _key(kernel: "Kernel", signature: str) -> str:
    """Return a hash of everything that machine code depends on."""
    sources = {each.function.__code__.co_filename for each in kernel.callees}
    sources |= {str(pathlib.Path(__file__).with_name(name)) for name in _SOURCES}
    parts = [hashlib.sha256(pathlib.Path(each).read_bytes()).hexdigest() for each in sorted(sources)]
    parts += [signature, _version("numba"), _version("llvmlite"), sys.version]
    parts += [llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()]
    settings = {name: value for name, value in os.environ.items() if name.startswith("NUMBA_")}
    for name in (_FOLDER, _THREADS):
        settings.pop(name, None)
    parts += [f"{name}={settings[name]}" for name in sorted(settings)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _folders(kernel: "Kernel") -> Iterator[pathlib.Path]:
    """Yield candidate cache folders: NUMBA_CACHE_DIR if set, else beside the package, then in the user's cache."""
    folder = os.environ.get(_FOLDER)
    if folder:
        yield pathlib.Path(folder)
        return
    yield pathlib.Path(kernel.function.__code__.co_filename).parent / "__pycache__"
    with contextlib.suppress(RuntimeError):  # no home directory
        home = pathlib.Path.home()
        default = {"Windows": home / "AppData" / "Local", "Darwin": home / "Library" / "Caches"}
        variable = "LOCALAPPDATA" if platform.system() == "Windows" else "XDG_CACHE_HOME"
        yield pathlib.Path(os.environ.get(variable) or default.get(platform.system(), home / ".cache")) / "cvxrelu"


def _read(file: pathlib.Path) -> tuple[str, bytes] | None:
    """Return the symbol and the code in a file; None if it is missing or damaged."""
    try:
        raw = file.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(raw[_HASH:]).digest() != raw[:_HASH]:
        return None
    symbol, _, code = raw[_HASH:].partition(b"\n")
    return symbol.decode(), code


def _save(files: list[pathlib.Path], symbol: str, code: bytes) -> None:
    """Write the first writable file."""
    contents = symbol.encode() + b"\n" + code
    failure: OSError = OSError("no cache folder")
    for file in files:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as target:
                target.write(hashlib.sha256(contents).digest() + contents)
        except OSError as error:
            failure = error
        else:
            return
    _warn(failure)


def _warn(error: Exception) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            "kernels cannot be cached and are compiled again in each process, which takes seconds: set the environment "
            f"variable NUMBA_CACHE_DIR to a writable folder ({error})",
            CompilationCacheWarning,
            stacklevel=2,
        )
