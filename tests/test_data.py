"""Data: nothing lost, nothing twice, and every batch from the seed and its number alone."""
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from littlebaby.errors import BadInput
from littlebaby.training.data import (
    ROUNDS,
    SHARES,
    Batches,
    Mixture,
    documents,
    generator,
    permutation_keys,
    permute,
    split,
    validation_windows,
    windows,
)


def settings(n_ctx=8, batch_size=4, stride=0, r_split=0.9, c_shuffle="none", seed=3, c_pack="across"):
    return SimpleNamespace(n_ctx=n_ctx, batch_size=batch_size, stride=stride, r_split=r_split, c_shuffle=c_shuffle, seed=seed,
                           c_pack=c_pack)


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
    with pytest.raises(BadInput, match="16 tokens is a single document"):
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
    assert (windows(ids, 10, known=4)[:][1] == -1).sum() - (windows(ids, 10)[:][1] == -1).sum() == 3    # the first of all is no target


# --- an order that needs no memory ---

@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 99, 100, 101, 1023, 4097, 65_537])
def test_a_permutation_meets_every_number_once(n):
    drawn = permutation_keys(generator(3, n))
    shown = permute(np.arange(n), n, drawn)
    assert len(drawn) == ROUNDS and np.array_equal(np.sort(shown), np.arange(n))
    assert [int(permute([i], n, drawn)[0]) for i in range(0, n, max(1, n // 7))] == shown[::max(1, n // 7)].tolist()
    if n > 10:
        assert not np.array_equal(shown, permute(np.arange(n), n, permutation_keys(generator(4, n))))


def test_a_permutation_looks_random():
    """Over 4,000 seeds each of 24 orders of 4 comes up, and each of 101 numbers goes everywhere: chi-square below 1.5 a place"""
    orders = {tuple(permute(np.arange(4), 4, permutation_keys(generator(seed)))) for seed in range(4000)}
    assert len(orders) == 24
    n, seen = 101, np.zeros((101, 101), int)
    for seed in range(4000):
        seen[np.arange(n), permute(np.arange(n), n, permutation_keys(generator(seed)))] += 1
    expected = 4000 / n
    assert 0.9 < ((seen - expected) ** 2 / expected).mean() < 1.1
    shown = permute(np.arange(10_007), 10_007, permutation_keys(generator(0)))
    assert abs(np.corrcoef(shown[:-1], shown[1:])[0, 1]) < 0.03 and abs(np.corrcoef(np.arange(10_007), shown)[0, 1]) < 0.03


def test_a_place_among_billions_costs_nothing():
    n = 3 * 10**12 + 7
    places = permute(np.array([0, 1, 2, n - 1]), n, permutation_keys(generator(0)))
    assert len(set(places.tolist())) == 4 and places.min() >= 0 and places.max() < n


def test_every_epoch_and_seed_has_its_own_order():
    batches = Batches(np.arange(1000), settings(), 1)
    orders = {tuple(each.starts(epoch)) for each in (batches, Batches(np.arange(1000), settings(), 2)) for epoch in range(4)}
    assert len(orders) == 8
    assert np.array_equal(batches.starts(3, np.array([5, 0])), batches.starts(3)[[5, 0]])


# --- documents ---

def tales(lengths, begin=(0,)):
    """Documents of different ids above 9, each followed by `begin`"""
    ids, made = 10, []
    for length in lengths:
        made += [*range(ids, ids + length), *begin]
        ids += length
    return np.array(made)


def test_documents_are_found_across_chunks(monkeypatch):
    from littlebaby.training import data
    ids = tales([5, 1, 9, 3, 30], (0, 0))
    whole = documents(ids, [0, 0])
    for chunk in (1, 2, 7, 8, 9):
        monkeypatch.setattr(data, "CHUNK", chunk)
        assert documents(ids, [0, 0]).tolist() == whole.tolist() == [0, 7, 10, 21, 26]


@pytest.mark.parametrize("begin", [(0,), (0, 0)])
def test_windows_within_documents(begin):
    """Each token but the first is a target once an epoch, no window holds two documents, and each document begins with `begin`"""
    ids = tales([20, 1, 8, 7, 9, 16], begin)
    batches = Batches(ids, settings(c_pack="within", batch_size=5), 1, begin)
    x, y = batches.rows(np.arange(batches.windows))
    assert batches.windows == sum(-(-length // 8) for length in (20 + len(begin) - 1, *(n + 2 * len(begin) - 1 for n in (1, 8, 7, 9, 16))))
    assert sorted(y[y >= 0]) == sorted(ids[1:]) and x.shape == y.shape == (batches.windows, 8)
    for after in y:
        counted = after >= 0
        inner = set(after[counted]) - {0}
        spans = [set(each) - {0} for each in np.split(ids, documents(ids, begin)[1:])]
        assert sum(bool(inner & span) for span in spans) <= 1
    starts = [tuple(row[:len(begin)]) for row, after in zip(x, y) if row[0] == 0]
    assert len(starts) >= 5 and set(starts) == {begin}
    again = batches.rows(np.arange(batches.windows, 2 * batches.windows))[1]
    assert sorted(again[again >= 0]) == sorted(ids[1:]) and not np.array_equal(again, y)


def test_padding_counts_for_nothing():
    """A model's loss and gradient over a document do not change with what fills up its window"""
    from littlebaby import Baby, Config
    cfg = Config(n_layers=1, n_emb=8, n_heads=2, n_ctx=8, d_type="fp64", batch_size=1)
    x, y = Batches(tales([3, 20]) % 30, cfg.replace(c_pack="within"), 0, (0,)).pieces[:1]
    baby, other = Baby(cfg, vocab_size=30), x.copy()
    assert (y[0] >= 0).tolist() == [True] * 3 + [False] * 5
    other[:, 4:] = 7
    (loss, grads), again = baby.loss_and_grads(x, y), baby.loss(other, y)
    short, few = baby.loss_and_grads(x[:, :3], y[:, :3])
    assert loss == pytest.approx(again, rel=1e-12) and loss == pytest.approx(short, rel=1e-12)
    assert all(np.allclose(grads[name], few[name], atol=1e-14) for name in grads)


# --- mixtures ---

def test_a_mixture_keeps_its_shares_and_every_source_its_own_order():
    cfg = settings(batch_size=10)
    sources = [Batches(np.arange(i * 10_000, i * 10_000 + n), cfg, 1) for i, n in enumerate((403, 5000, 90))]
    mixture = Mixture(sources, [0.55, 0.4, 0.05], 1)
    x = np.concatenate([mixture.batch(i)[0] for i in range(300)])
    origin = x[:, 0] // 10_000
    for first in range(0, 3000, SHARES):
        assert np.bincount(origin[first:first + SHARES]).tolist() == [550, 400, 50]
    assert 40 < np.bincount(origin[:100])[0] < 70 and not np.array_equal(origin[:1000], origin[1000:2000])
    for k, source in enumerate(sources):                 # its rows in another order within a round, and none twice
        mine = x[origin == k][:, 0]
        alone = source.rows(np.arange(len(mine)))[0][:, 0]
        assert sorted(mine) == sorted(alone)
    assert mixture.windows == sum(source.windows for source in sources)
    other = Mixture(sources, [0.55, 0.4, 0.05], 1)
    assert all(np.array_equal(a, b) for a, b in zip(mixture.batch(123), other.batch(123)))


def test_held_out_windows_of_several_sources():
    cfg = SimpleNamespace(**vars(settings()), n_eval_windows=0, r_eval_overlap=0.0)
    parts = [np.arange(30), np.arange(100, 150), np.arange(5)]
    windows_of = validation_windows(parts, cfg)
    x, y = windows_of[0:len(windows_of)]
    assert sorted(y[y >= 0]) == [*range(1, 30), *range(101, 150)]
    assert np.array_equal(np.concatenate([windows_of[i:i + 3][0] for i in range(0, len(windows_of), 3)]), x)
    cfg.n_eval_windows, cfg.c_pack = 4, "within"
    assert len(validation_windows(parts, cfg, (10_000,))) == 4 and len(validation_windows(parts[2:], cfg)) == 1


# --- size ---

def test_memory_does_not_grow_with_the_file(tmp_path):
    """A file of 2 GB that is mostly a hole, and one of 2 MB: a hundred batches and windows of both need the same memory"""
    cfg = SimpleNamespace(**vars(settings(n_ctx=64)), n_eval_windows=50, r_eval_overlap=0.0)
    peak = {}
    for n in (10**6, 10**9):
        with open(tmp_path / str(n), "wb") as file:
            file.truncate(2 * n)
        ids = np.memmap(tmp_path / str(n), "<u2", "r")
        tracemalloc.start()
        trained, held = split(ids, cfg)
        batches = Batches(trained, cfg, 0)
        for number in range(100):
            batches.batch(number * 977)
        validation_windows([held[:10**5]], cfg)[0:50]
        peak[n] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak[10**9] < 1.2 * peak[10**6] + 20_000 and peak[10**9] < 2**20


def test_pages_that_were_read_are_given_back(tmp_path):
    """All of a file of 100 MB is shown, and less than a fifth of it counts as this process's memory, its own arrays aside"""
    if not (resident := Path("/proc/self/smaps_rollup")).exists():
        pytest.skip("only Linux tells what a process holds")
    (tmp_path / "ids").write_bytes(bytes(10**8))
    ids = np.memmap(tmp_path / "ids", "<u2", "r")
    part = lambda name: int(next(line for line in resident.read_text().splitlines() if line.startswith(name)).split()[1]) * 1024
    of_files = lambda: part("Rss") - part("Anonymous")
    batches, before = Batches(ids, settings(n_ctx=1000, batch_size=1000), 0), of_files()
    for number in range(batches.steps_per_epoch):
        batches.batch(number)
    assert of_files() - before < 2 * 10**7
