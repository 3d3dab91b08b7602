"""byte_pairs: the two algorithms of byte pair encoding on ids: learn merges from pieces of a text, and apply merges to a piece.

Gage 1994, A New Algorithm for Data Compression. Sennrich, Haddow, Birch 2016, arXiv:1508.07909.
"""
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

Pair = tuple[int, int]

BORDER = -1                 # in a row of ids: the border of a piece, or the place of an id that was merged into the one before it
MAX_CACHED = 2**18          # pieces, some 40 MB
LONGEST_CACHED = 256        # characters: longer pieces hardly occur again


def learn(pieces: Mapping[tuple[int, ...], int], tokens: list[str], size: int, min_frequency: int) -> list[tuple[str, str]]:
    """Learn merges until there are `size` tokens, or until no pair occurs `min_frequency` times.

    pieces   {piece, a tuple of ids: how often it occurs in the text}
    tokens   the text of every id so far; the new tokens are appended
    returns  the merges as pairs of texts, in the order in which they were learned

    The most frequent pair is merged; among equally frequent ones that with the smaller left id, then the smaller right id.

    Every merge makes the row shorter by one token and touches only its neighbours, so all of the learning takes no more steps than the row
    is long (times a logarithm, for the heap that finds the most frequent pair).
    """
    # all pieces in one row, with a border around each:  | t h e | t h e n |     and how often the text has the piece
    row, weight = [BORDER], [0]
    for piece, n in pieces.items():
        row += (*piece, BORDER)
        weight += [n] * (len(piece) + 1)

    # indices of the neighbours of every id, which stay right while merged ids drop out
    before, after = list(range(-1, len(row) - 1)), list(range(1, len(row) + 1))

    # for every pair: how often it occurs, and the indices of its left ids
    frequency: Counter[Pair] = Counter()
    places: defaultdict[Pair, list[int]] = defaultdict(list)

    def add(i):
        pair = row[i], row[after[i]]
        if BORDER not in pair:
            frequency[pair] += weight[i]
            places[pair].append(i)
            return pair

    def subtract(i):
        frequency[row[i], row[after[i]]] -= weight[i]           # a pair with a border is counted too, and never used

    for i in range(len(row) - 1):
        add(i)
    heap = [(-n, *pair) for pair, n in frequency.items()]
    heapify(heap)

    merges = []
    while heap and len(tokens) < size:
        n, left, right = heappop(heap)
        now = frequency[left, right]
        if now != -n:                                           # outdated: other merges took some of its places
            if now > 0:
                heappush(heap, (-now, left, right))
            continue
        if now < min_frequency:
            break

        # the pair gets a new token: its text is new too, since equal bytes are merged in equal order wherever they occur
        joined = len(tokens)
        merges.append((tokens[left], tokens[right]))
        tokens.append(tokens[left] + tokens[right])

        # replace the pair wherever it occurs:  h [left] [right] k  ->  h [joined] k
        new_pairs = set()
        for i in sorted(places.pop((left, right))):
            j = after[i]
            if row[i] != left or row[j] != right:               # in "aaa" the first pair takes the left part of the second one
                continue
            h, k = before[i], after[j]
            for place in (h, i, j):
                subtract(place)
            row[i], row[j] = joined, BORDER
            after[i], before[k] = k, i
            new_pairs |= {add(h), add(i)}
        for pair in new_pairs - {None}:
            heappush(heap, (-frequency[pair], *pair))
    return merges


def merge(row: list[int], ranks: Mapping[Pair, int], joined: Sequence[int]) -> list[int]:
    """Apply merges to one piece, always the one that was learned first, and from left to right.

    row      ids of the bytes of the piece; it is changed
    ranks    {(left, right): place in the order of learning}
    joined   for every rank the id that replaces the pair
    returns  ids of the tokens of the piece
    """
    before, after = list(range(-1, len(row) - 1)), list(range(1, len(row) + 1))
    heap = [(ranks[pair], i) for i, pair in enumerate(pairwise(row)) if pair in ranks]
    heapify(heap)
    while heap:
        rank, i = heappop(heap)
        j = after[i]
        if j == len(row) or ranks.get((row[i], row[j])) != rank:    # another merge took one of the two
            continue
        h, k = before[i], after[j]
        row[i], row[j], after[i] = joined[rank], BORDER, k
        if k < len(row):
            before[k] = i
            if (row[i], row[k]) in ranks:
                heappush(heap, (ranks[row[i], row[k]], i))
        if h >= 0 and (row[h], row[i]) in ranks:
            heappush(heap, (ranks[row[h], row[i]], h))
    return [i for i in row if i != BORDER]


class MergedPieces(dict[str, bytes]):
    """{piece: its ids as the bytes of int32}, computed when a piece is first looked up: the same words occur again and again in a text

    byte_ids       the id of each of the 256 bytes; a byte of id None is left out
    ranks, joined  as in `merge`
    whole          {bytes: ids} of pieces that are not merged
    """

    def __init__(self, byte_ids: Sequence[int | None], ranks: Mapping[Pair, int], joined: Sequence[int],
                 whole: Mapping[bytes, Iterable[int]]) -> None:
        super().__init__()
        self.byte_ids, self.ranks, self.joined, self.whole = byte_ids, ranks, joined, whole

    def __missing__(self, piece: str) -> bytes:
        data = piece.encode()
        ids = self.whole.get(data) or merge([i for byte in data if (i := self.byte_ids[byte]) is not None], self.ranks, self.joined)
        if len(self) == MAX_CACHED:
            self.clear()
        found = array("i", ids).tobytes()
        if len(piece) <= LONGEST_CACHED:
            self[piece] = found
        return found
