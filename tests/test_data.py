"""Data: nothing lost, nothing twice, and every batch from the seed and its number alone."""
from types import SimpleNamespace

import numpy as np
import pytest

from littlebaby.errors import BadInput
from littlebaby.learning.data import Batches, documents, split, windows


def settings(n_ctx=8, batch_size=4, stride=0, r_split=0.9, c_shuffle="none", seed=3, c_pack="across"):
    return SimpleNamespace(n_ctx=n_ctx, batch_size=batch_size, stride=stride, r_split=r_split, c_shuffle=c_shuffle, seed=seed, c_pack=c_pack)


def test_split_is_contiguous_and_leaves_a_memory_map_unread(tmp_path):
    np.arange(1000, dtype="u2").tofile(tmp_path / "ids")
    ids = np.memmap(tmp_path / "ids", "u2", "r")
    train, valid = split(ids, settings())
    assert (len(train), len(valid), valid[0]) == (900, 100, 900)
    assert np.shares_memory(train, ids) and np.shares_memory(valid, ids)
    x, y = Batches(train, settings(), 0).batch(2)
    assert type(x) is np.ndarray and x.dtype == np.int32 and np.array_equal(y, x + 1)


def test_split_of_a_short_text():
    train, valid = split(np.arange(9), settings())
    assert (len(train), len(valid)) == (9, 0)
    assert [len(part) for part in split(np.arange(20), settings(r_split=1.0))] == [20, 0]
    with pytest.raises(BadInput, match="has 8 tokens and n_ctx 8 needs at least 9: use a longer text, or n_ctx 7 or less"):
        split(np.arange(8), settings())
    with pytest.raises(BadInput, match="has 0 tokens and n_ctx 8 needs at least 9: use a longer text$"):
        split(np.arange(0), settings())


def test_shuffled_windows_stay_whole():
    cfg = settings(c_shuffle="windows")
    ids = np.arange(1030)
    whole = np.concatenate(split(ids, cfg))
    assert np.array_equal(np.sort(whole), ids) and not np.array_equal(whole, ids)
    breaks = np.flatnonzero(np.diff(whole) != 1)
    assert set(whole[breaks + 1]) <= set(range(0, 1030, 80)) and 8 <= len(breaks) <= 12
    assert np.array_equal(whole, np.concatenate(split(ids, cfg)))
    assert not np.array_equal(whole, np.concatenate(split(ids, settings(c_shuffle="windows", seed=4))))


def test_shuffled_documents_stay_whole():
    ids = np.array([5, 1, 0, 0, 6, 0, 1, 0, 0, 7, 7, 0, 0, 8, 0, 0])
    assert documents(ids, [0, 0]).tolist() == [0, 4, 9, 13]
    assert documents(ids, [9]).tolist() == [0] == documents(ids, []).tolist()
    seen = {tuple(np.concatenate(split(ids, settings(c_shuffle="documents", seed=seed), [0, 0]))) for seed in range(9)}
    stories = [(5, 1, 0, 0), (6, 0, 1, 0, 0), (7, 7, 0, 0), (8, 0, 0)]
    assert len(seen) > 4 and all(any(text[:len(story)] == story for story in stories) for text in seen)
    assert all(sorted(text) == sorted(ids) for text in seen)
    with pytest.raises(BadInput, match="16 tokens, is a single document"):
        split(ids, settings(c_shuffle="documents"), [9])


@pytest.mark.parametrize("n", [9, 10, 16, 17, 18, 24, 25, 403])
def test_an_epoch_is_one_pass(n):
    """Each token is a target 0, 1 or 2 times, fewer than 2 T of them not exactly once, and every one comes up"""
    batches = Batches(np.arange(n), settings(), 1)
    ever = np.zeros(n, int)
    for epoch in range(60):
        starts = batches.starts(epoch)
        times = np.bincount((starts[:, None] + np.arange(1, 9)).ravel(), minlength=n)
        assert len(starts) == batches.windows == (n - 1) // 8 and starts.min() >= 0 and times.shape == (n,)
        assert times.max() <= 2 and (times[1:] != 1).sum() < 16 and times[1:].sum() == 8 * len(starts)
        ever += times
    assert (ever[1:] > 0).all() and ever[0] == 0
    if n == 403:
        assert abs(ever[16:-16].mean() - 60) < 1.5
        assert batches.starts(0).tolist() != sorted(batches.starts(0)) and len({batches.starts(e).min() for e in range(20)}) > 3


def test_batches_join_epochs_without_a_gap():
    cfg = settings(batch_size=7)
    batches = Batches(np.arange(100), cfg, 1)
    assert batches.windows == 12 and batches.steps_per_epoch == 2 and batches.steps(7) == 12 and batches.steps(0.5) == 1
    shown = np.concatenate([batches.batch(i)[0][:, 0] for i in range(12)])
    assert np.array_equal(shown, np.concatenate([batches.starts(epoch) for epoch in range(7)]))
    wide = Batches(np.arange(100), settings(batch_size=30), 1).batch(0)[0][:, 0]
    assert np.array_equal(wide, shown[:30])


def test_a_batch_is_a_function_of_seed_and_number():
    ids = np.random.default_rng(0).integers(0, 9, 5000)
    first, again, other = (Batches(ids, settings(), seed) for seed in (1, 1, 2))
    for i in (400, 0, 7):
        assert all(np.array_equal(a, b) for a, b in zip(first.batch(i), again.batch(i)))
    assert not np.array_equal(first.batch(7)[0], other.batch(7)[0])
    x, y = first.batch(5)
    assert x.shape == y.shape == (4, 8) and np.array_equal(x[:, 1:], y[:, :-1])


def test_stride_one_shows_every_window_once():
    batches = Batches(np.arange(40), settings(stride=1), 0)
    assert sorted(batches.starts(0)) == list(range(32)) and batches.steps_per_epoch == 8


@pytest.mark.parametrize("n", [2, 5, 9, 10, 17, 100])
def test_evaluation_counts_every_token_once(n):
    x, y = windows(np.arange(n), 8)[:]
    counted = y >= 0
    assert sorted(y[counted]) == list(range(1, n)) and np.array_equal(y[counted], x[counted] + 1)
    assert x.shape[1] == min(8, n - 1) and x.max() < n


@pytest.mark.parametrize("n", [2, 9, 10, 17, 100])
def test_overlapping_evaluation_counts_every_token_once_and_never_without_context(n):
    x, y = windows(np.arange(n), 8, overlap=0.75)[:]
    counted = y[y >= 0]
    assert sorted(counted) == list(range(1, n)) and np.array_equal(np.where(y >= 0, y - 1, x), x)
    seen = np.broadcast_to(np.arange(1, x.shape[1] + 1), y.shape)[1:]
    assert (seen[y[1:] >= 0] > 6).all()


def test_evaluation_of_a_few_windows_or_none():
    ids = np.arange(101)
    x, y = windows(ids, 10, 4)[:]
    assert x[:, 0].tolist() == [0, 20, 50, 70] and (y >= 0).all()
    assert len(windows(ids, 10, 99)) == 10
    assert windows(ids[:1], 10)[:][0].shape == windows(ids[:0], 10)[:][1].shape == (0, 1)
