"""A stand-in for CuPy where there is no GPU: NumPy underneath, refusing what CuPy refuses.

Its arrays never turn into NumPy arrays by themselves, never mix with them, and NumPy's functions reject them. `use(strict)` makes it the
device; what `crossings` counts are the explicit transfers.
"""
import operator

import numpy as np

LACKING = {"vecdot", "matvec", "vecmat", "fromiter", "piecewise", "nditer"}        # names of NumPy that CuPy 14 does not have
crossings = []


class Array:
    __array_priority__ = 1000

    def __init__(self, a):
        self.a = a

    def __array__(self, *_, **__):
        raise TypeError("implicit conversion to a NumPy array is not allowed")

    def __array_ufunc__(self, *_, **__):
        raise TypeError("a NumPy function met an array of the device")

    __array_function__ = __array_ufunc__

    def __getattr__(self, name):
        value = getattr(self.a, name)
        return Function(value) if callable(value) else wrap(value)

    def __getitem__(self, key):
        return wrap(self.a[bare(key)])

    def __setitem__(self, key, value):
        self.a[bare(key)] = bare(value)

    def __len__(self):
        return len(self.a)

    def __bool__(self):
        return bool(self.a)

    def __float__(self):
        return float(self.a)

    def __int__(self):
        return int(self.a)


def binary(name, swapped=False):
    call = getattr(operator, name)
    return lambda self, other: wrap(call(bare(other), self.a) if swapped else call(self.a, bare(other)))


def inplace(name):
    call = getattr(operator, "i" + name)

    def method(self, other):
        self.a = call(self.a, bare(other))
        return self

    return method


for op in ("add", "sub", "mul", "truediv", "matmul", "floordiv", "mod", "pow"):
    setattr(Array, f"__{op}__", binary(op))
    setattr(Array, f"__r{op}__", binary(op, swapped=True))
    setattr(Array, f"__i{op}__", inplace(op))
for op in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Array, f"__{op}__", binary(op))
for op in ("and_", "or_"):
    setattr(Array, f"__{op.strip('_')}__", binary(op))
for op in ("neg", "invert", "abs"):
    setattr(Array, f"__{op}__", lambda self, call=getattr(operator, op): wrap(call(self.a)))


def wrap(value):
    if isinstance(value, (np.ndarray, np.generic)) and not isinstance(value, np.dtype):
        return Array(value)
    if isinstance(value, tuple) and any(isinstance(v, np.ndarray) for v in value):
        return tuple(map(wrap, value))
    return value


def bare(value):
    """What NumPy may see: arrays of the device and numbers, never an array of the host"""
    if isinstance(value, Array):
        return value.a
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("an array of the host met the device")
    if isinstance(value, (list, tuple)):
        return type(value)(map(bare, value))
    if isinstance(value, dict):
        return {k: bare(v) for k, v in value.items()}
    return value


class Function:
    """A function of the device module, or a method of one of its arrays"""

    def __init__(self, call):
        self.call = call

    def __call__(self, *args, **settings):
        return wrap(self.call(*bare(args), **bare(settings)))

    def at(self, array, index, values):
        self.call.at(*bare((array, index, values)))


class Generator:
    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def random(self, size, dtype):
        return Array(self.rng.random(size, dtype))

    def standard_normal(self, size, dtype=np.float64):
        return Array(self.rng.standard_normal(size, dtype))


class Random:
    default_rng = staticmethod(Generator)


class Module:
    random = Random

    def __getattr__(self, name):
        if name in LACKING:
            raise AttributeError(f"CuPy has no {name}")
        value = getattr(np, name)
        return Function(value) if callable(value) and not isinstance(value, type) else value

    def asarray(self, a, dtype=None):
        if isinstance(a, np.ndarray):
            crossings.append("in")
        return Array(np.asarray(a.a if isinstance(a, Array) else a, dtype))

    array = asarray

    def asnumpy(self, a):
        crossings.append("out")
        return a.a


strict = Module()
