"""Natural wrong answers to the exercises of the tour: {(lesson, exercise): {answer: what the line of the check must contain}}"""

# (8, 3): forward, and the first line of backward
RUNNING_MEAN = """
def forward(p, x, ctx):
    v, back_v = arrays.linear(x, p.wv)
    n = np.arange(1, x.shape[1] + 1)[:, None]
    y, back_y = arrays.linear(v.cumsum(1) / n, p.wo)
    def backward(dy, g):
        do, dwo, _ = back_y(dy)
"""

# (14, 1) and (14, 2): what comes before the mistake
SCALES = """
def best_scale(w, bits):
    n = 2 ** (bits - 1) - 1
    scales = np.arange(1, 101) / 100 * abs(w).max() / n
    """
ATTEND = """
def attend(x, wq, wk, wv, keys, values):
    keys, values = np.vstack([keys, x @ wk]), np.vstack([values, x @ wv])
    """

WRONG = {
    (1, 1): {
        "cost = lambda p: -np.log(p)": "a dry day, three days of ten",
        "cost = lambda p: -0.7 * np.log2(p) - 0.3 * np.log2(1 - p)": "your function gives 1.000",
        "cost = lambda p: 0.7 * np.log(p) + 0.3 * np.log(1 - p)": "*minus* the logarithm"},
    (1, 2): {
        "size = double / np.log(2) * len(unseen)": "a byte has eight",
        "size = double / 8 * len(unseen)": "divide by ln 2",
        "size = double / np.log(2) / 8": "multiply by the number of characters"},
    (1, 3): {
        "guess = lambda counts, a: counts + a": "divide each row by its own sum",
        "guess = lambda counts, a: (counts + a) / counts.sum(1, keepdims=True)": "after adding a",
        "guess = lambda counts, a: (counts + a) / (counts + a).sum(0)": "divide each row by its own sum"},
    (2, 1): {
        "softplus = lambda x: (np.log1p(np.exp(x)), lambda dy: 1 / (1 + np.exp(-x)))": "multiply it by dy",
        "softplus = lambda x: (np.log1p(np.exp(x)), lambda dy: dy / (1 + np.exp(x)))": "the derivative is 0.9526",
        "softplus = lambda x: (np.log1p(np.exp(x)), lambda dy: dy * np.exp(x))": "the derivative is 0.9526"},
    (2, 2): {
        "residual = lambda x, w: (x + x @ w, lambda dy: (dy @ w.T, x.T @ dy))": "y also depends on x directly",
        "residual = lambda x, w: (x + x @ w, lambda dy: dy + dy @ w.T)": "return two arrays",
        "residual = lambda x, w: (x + x @ w, lambda dy: (x + dy @ w.T, x.T @ dy))": "dy itself"},
    (2, 3): {
        "rate = 0.01": "try a larger rate",
        "rate = 0.5": "try a larger rate",
        "rate = 1000": "goes too far"},
    (3, 1): {
        "slopes = lambda f, x, h=1e-5: (f(x + h) - f(x - h)) / (2 * h)": "a slope for each element",
        """
def slopes(f, x, h=1e-5):
    out = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        x[i] += h
        out[i] = f(x) / h
        x[i] -= h
        out[i] -= f(x) / h
    return out""": "change x by h in both directions",
        """
def slopes(f, x, h=1e-5):
    out = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[i] = h
        out[i] = (f(x + e) - f(x - e)) / h
    return out""": "divide by 2h",
        """
def slopes(f, x, h=1e-5):
    out = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        x[i] += h
        up = f(x)
        x[i] -= 2 * h
        out[i] = (up - f(x)) / (2 * h)
    return out""": "restore every element"},
    (3, 2): {
        "who = 'ann'": "the gradient of ann has an error",
        "who = 'cid'": "the gradient of cid has an error",
        "who = 'Ben'": 'the names are "ann", "ben" and "cid"'},
    (3, 3): {
        "fooled = 'ann'": "the sum of a softmax is always 1",
        "fooled = 'ben'": "ben is right",
        "fooled = 'both'": 'the names are "ann", "ben" and "cid"'},
    (4, 1): {
        "neighbour = lambda T: (np.eye(T)[np.maximum(np.arange(T) - 1, 0)], np.eye(T))": "the idea is right",
        "neighbour = lambda T: (50 * np.eye(T), np.eye(T))": "every token finds itself",
        "neighbour = lambda T: (50 * np.roll(np.eye(T), -1, 0), np.eye(T))": "it should look for token 0",
        "neighbour = lambda T: 50 * np.eye(T)": "return two arrays"},
    (4, 2): {
        """
def peeks(attend):
    q, k, v = np.random.default_rng(0).standard_normal((3, 6, 4))
    return not np.array_equal(attend(q, k, v), attend(q, np.r_[k[:-1], k[-1:] * 100], np.r_[v[:-1], v[-1:] + 1]))""":
            "leave out the last output",
        """
def peeks(attend):
    q, k, v = np.random.default_rng(0).standard_normal((3, 6, 4))
    return not np.array_equal(attend(q, k, v)[:-1], attend(q, k, np.r_[v[:-1], v[-1:] + 1])[:-1])""":
            "change the last key by a large factor",
        """
def peeks(attend):
    q, k, v = np.random.default_rng(0).standard_normal((3, 6, 4))
    return np.array_equal(attend(q, k, v)[:-1], attend(q, np.r_[k[:-1], k[-1:] * 100], np.r_[v[:-1], v[-1:] + 1])[:-1])""":
            "upside down"},
    (4, 3): {
        "change = abs(by_hand(q, k, v)[0][-1] - by_hand(q, k[[0, 3, 2, 1, 4, 5]], v)[0][-1]).max()": "rows 1 and 3 of k and of v",
        "change = abs(by_hand(q, k, v)[0][-1] - by_hand(q, k, v[[0, 3, 2, 1, 4, 5]])[0][-1]).max()": "rows 1 and 3 of k and of v",
        "places = [0, 3, 2, 1, 4, 5]; change = abs(by_hand(q, k, v)[0] - by_hand(q, k[places], v[places])[0]).max()":
            "compare the last output"},
    (5, 1): {
        "count = lambda D, L: 12 * D * L": "a matrix (D, D) has D² weights",
        "count = lambda D, L: 12 * D * D": "two blocks have twice the weights",
        "count = lambda D, L: 6 * D * D * L": "4 + 4 + 4 = 12"},
    (5, 2): {
        """
def post(f, pn, p, x, ctx):
    y, back_f = f(p, x, ctx)
    n, back_n = norm.forward(pn, x + y, ctx)
    return n, lambda dn, gn, g: dn + back_f(dn, g)""": "go through the norm first",
        """
def post(f, pn, p, x, ctx):
    y, back_f = f(p, x, ctx)
    n, back_n = norm.forward(pn, x + y, ctx)
    return n, lambda dn, gn, g: back_f(back_n(dn, gn), g)""": "add both paths",
        """
def post(f, pn, p, x, ctx):
    y, back_f = f(p, x, ctx)
    n, back_n = norm.forward(pn, x + y, ctx)
    return n, lambda dn, gn, g: back_n(dn, gn) + back_f(back_n(dn, gn), g)""": "and once"},
    (5, 3): {
        "after_attention, after_network = {4, 5, 6, 7}, {3}": "token 3 and all later tokens",
        "after_attention, after_network = {3, 4, 5, 6, 7}, {3, 4, 5, 6, 7}": "a network works on every token alone",
        "after_attention, after_network = set(range(8)), {3}": "earlier tokens cannot",
        "after_attention, after_network = {3, 4, 5, 6, 7}, 3": "put in two sets"},
    (6, 1): {
        "cold, hot = 4 / 0.5, 4 / 2": "the logits that are divided by t",
        "cold, hot = 4 * 0.5, 4 * 2": "the other way round",
        "cold, hot = 2, 16": "the other way round",
        "cold, hot = 16, 1": "at 2 the difference of the logits"},
    (6, 2): {
        """
def nucleus(p, share):
    order = np.argsort(-p)
    out = np.where(np.cumsum(p[order]) <= share, p[order], 0)[np.argsort(order)]
    return out / out.sum()""": "the token that crosses the border",
        """
def nucleus(p, share):
    order = np.argsort(-p)
    return np.where(np.cumsum(p[order]) - p[order] < share, p[order], 0)[np.argsort(order)]""": "divide by their sum",
        """
def nucleus(p, share):
    ordered = np.sort(p)[::-1]
    out = np.where(np.cumsum(ordered) - ordered < share, ordered, 0)
    return out / out.sum()""": "the result is sorted"},
    (6, 3): {
        "draw = lambda p, u: int(p.argmax())": "u = 0.1 falls on the first piece",
        "draw = lambda p, u: int((np.cumsum(p) < u).sum())": "that of token 1 is empty",
        "draw = lambda p, u: int(u * len(p))": "0.69 is token 2 and 0.71 token 3",
        "draw = lambda p, u: np.cumsum(p) <= u": "the index of one token"},
    (7, 1): {
        "step = lambda w, g, v, rate, mu: (w - rate * g, mu * v + g)": "the weights are wrong: subtract rate times the new velocity",
        "step = lambda w, g, v, rate, mu: (w + mu * v - rate * g, mu * v - rate * g)": "without the rate",
        "step = lambda w, g, v, rate, mu: (w - rate * (mu * v + (1 - mu) * g), mu * v + (1 - mu) * g)": "without 1 - mu",
        "step = lambda w, g, v, rate, mu: w - rate * (mu * v + g)": "return two arrays"},
    (7, 2): {
        """
def schedule(step, total, warmup):
    return step / warmup if step <= warmup else (1 + np.cos(np.pi * (step - 1 - warmup) / (total - warmup))) / 2""":
            "at step 1, during the warm-up",
        """
def schedule(step, total, warmup):
    return step / (warmup + 1) if step <= warmup else (1 + np.cos(np.pi * (step - warmup) / (total - warmup))) / 2""":
            "at step 11, the first after the warm-up, it should be 1.0000",
        """
def schedule(step, total, warmup):
    return step / (warmup + 1) if step <= warmup else 1 - (step - 1 - warmup) / (total - warmup)""": "at step 12, after the warm-up"},
    (7, 3): {
        "overlap = len(written)": "no part of `written`",
        "overlap = 3": "longer than 3 characters occurs",
        "overlap = written[:20]": "put the length"},
    (8, 1): {
        "reach = lambda L, W: L * W": "counts the token itself",
        "reach = lambda L, W: W - 1": "2 layers with a window of 4 reach 6",
        "reach = lambda L, W: (W - 1) ** L": "each adds the same; your result is 9"},
    (8, 2): {
        "mha = 100_000 * 32 * 4096 * 2 / 1e9; gqa = mha / 8": "a key and a value",
        "mha = 100_000 * 32 * 2 * 4096 * 2 / 2 ** 30; gqa = mha / 8": "right in GiB",
        "mha = 100_000 * 32 * 2 * 4096 * 2 / 1e9; gqa = mha / 4": "an eighth"},
    (8, 3): {
        RUNNING_MEAN + """        dx, dwv, _ = back_v((do / n).cumsum(1))
        g.wo += dwo
        g.wv += dwv
        return dx
    return y, backward""": "a cumsum from the end",
        RUNNING_MEAN + """        dx, dwv, _ = back_v(do[:, ::-1].cumsum(1)[:, ::-1] / n)
        g.wo += dwo
        g.wv += dwv
        return dx
    return y, backward""": "do_t / (t + 1)",
        RUNNING_MEAN + """        return back_v((do / n)[:, ::-1].cumsum(1)[:, ::-1])[0]
    return y, backward""": "a weight has no gradient"},
    (9, 1): {
        "output_weights = lambda scores, chosen: np.take_along_axis(arrays.softmax(scores)[0], chosen, 1)": "should sum to 1",
        "output_weights = lambda scores, chosen: (p := np.take_along_axis(scores, chosen, 1)) / p.sum(1, keepdims=True)": "apply a softmax",
        "output_weights = lambda scores, chosen: arrays.softmax(np.take_along_axis(scores, chosen, 1))": "return the first"},
    (9, 2): {
        "balance_loss = lambda s: (np.bincount(s.argmax(1), minlength=s.shape[1]) / len(s) * s.mean(0)).sum()": "the factor E is missing",
        "balance_loss = lambda s: s.shape[1] * (s.mean(0) ** 2).sum()": "f counts tokens",
        "balance_loss = lambda s: s.shape[1] * (np.bincount(s.argmax(1), minlength=s.shape[1]) * s.mean(0)).sum()": "your result is 8.000"},
    (9, 3): {
        "total = 58 * 256 * 3 * 7168 * 2048 / 1e9; used = 58 * 8 * 3 * 7168 * 2048 / 1e9": "the shared expert is missing",
        "total = 61 * 257 * 3 * 7168 * 2048 / 1e9; used = 61 * 9 * 3 * 7168 * 2048 / 1e9": "only 58 of the 61 blocks",
        "total = 58 * 257 * 3 * 7168 * 2048 / 1e9; used = 58 * 8 * 3 * 7168 * 2048 / 1e9": "8 experts and the shared one",
        "total = 58 * 257 * 3 * 7168 * 2048; used = 58 * 9 * 3 * 7168 * 2048": "0.0440 billion weights each"},
    (10, 1): {
        "bits = lambda nats, tokens, characters: nats / np.log(2)": "that is bits per token",
        "bits = lambda nats, tokens, characters: nats / np.log(2) * characters / tokens": "the other way round",
        "bits = lambda nats, tokens, characters: nats * tokens / characters": "your result is 0.693"},
    (10, 2): {
        """
def tokenize(word, merges):
    tokens = tuple(word)
    for pair in merges:
        merge(tokens, tuple(pair))
    return tokens""": "replace the tokens by what merge returns",
        """
def tokenize(word, merges):
    tokens = tuple(word)
    for pair in reversed(merges):
        tokens = merge(tokens, tuple(pair))
    return tokens""": "should be",
        """
def tokenize(word, merges):
    tokens = tuple(word)
    for pair in merges[:40]:
        tokens = merge(tokens, tuple(pair))
    return tokens""": "should be"},
    (10, 3): {
        "lengths = [1, 1, 1, 1]": "é does not have that many bytes",
        "lengths = [1, 2, 2, 2]": "🦊 does not have that many bytes",
        "lengths = [1, 2, 4]": "your list has 3"},
    (11, 1): {
        """
lora = lambda x, w, a, b, s: (
    x @ w + s * x @ a @ b, lambda dy: (dy @ w.T, x.T @ (s * dy @ b.T), s * (x @ a).T @ dy))""": "add both",
        """
lora = lambda x, w, a, b, s: (
    x @ w + s * x @ a @ b, lambda dy: (dy @ w.T + s * dy @ b.T @ a.T, x.T @ (dy @ b.T), s * (x @ a).T @ dy))""": "du = s dy bᵀ",
        """
lora = lambda x, w, a, b, s: (
    x @ w + s * x @ a @ b, lambda dy: (x.T @ (s * dy @ b.T), s * (x @ a).T @ dy))""": "return three arrays"},
    (11, 2): {
        "share = lambda I, O, r: (I + O) / (I * O)": "for (64, 256) and rank 4",
        "share = lambda I, O, r: I * O / (r * (I + O))": "so it should be 0.2; your result is 5.000",
        "share = lambda I, O, r: r * (I + O)": "so it should be 0.2; your result is 20.000"},
    (11, 3): {
        "targets = lambda ids, is_target: (ids[:-1], np.where(is_target[1:], -1, ids[1:]))": "the mask is inverted",
        "targets = lambda ids, is_target: (ids[:-1], np.where(is_target[:-1], ids[1:], -1))": "off by one",
        "targets = lambda ids, is_target: (ids, np.where(is_target, ids, -1))": "all ids but the last",
        "targets = lambda ids, is_target: (ids[:-1], np.where(is_target[1:], ids[1:], 0))": "y should be -1, 9, 5"},
    (12, 1): {
        "induction_score = lambda a, n: a[np.arange(n, 2 * n), np.arange(n)].mean()": "that is the same letter itself",
        "induction_score = lambda a, n: a[np.arange(n, 2 * n), np.arange(n - 1, 2 * n - 1)].mean()": "that is the token before",
        "induction_score = lambda a, n: a[np.arange(n, 2 * n), np.arange(1, n + 1)].sum()": "divide it by n",
        "induction_score = lambda a, n: a[np.arange(n - 1, 2 * n), np.arange(n + 1)].mean()": "only the tokens of the second copy"},
    (12, 2): {
        """
def without_head(o, wo, j, d):
    o[:, j * d:(j + 1) * d] = 0
    return o @ wo""": "change a copy of it",
        "without_head = lambda o, wo, j, d: o[:, j * d:(j + 1) * d] @ wo[j * d:(j + 1) * d]": "that is what head j adds",
        "without_head = lambda o, wo, j, d: np.delete(o, j, 1) @ np.delete(wo, j, 0)": "head j has d of them",
        "without_head = lambda o, wo, j, d: o @ wo - o[:, j::3] @ wo[j::3]": "has the columns 2 and 3 of o"},
    (12, 3): {
        "restored = lambda clean, corrupted, patched: (clean - patched) / (clean - corrupted)": "that is the part that is still missing",
        "restored = lambda clean, corrupted, patched: patched / clean": "a patch that changes nothing should give 0",
        "restored = lambda clean, corrupted, patched: (patched - corrupted) / clean": "should give 1; yours gives 2.00",
        "restored = lambda clean, corrupted, patched: (patched - corrupted) / 8": "is a quarter; yours is 0.12"},
    (13, 1): {
        "step = lambda w, direction, rate, decay: (1 - decay) * w - rate * direction": "which here is 5%",
        "step = lambda w, direction, rate, decay: w - rate * direction": "your weights stay as they are",
        "step = lambda w, direction, rate, decay: (1 - rate * decay) * (w - rate * direction)": "that shrinks the step, too",
        "step = lambda w, direction, rate, decay: (1 - rate * decay) * w + rate * direction": "should become 0.850; yours becomes 1.050"},
    (13, 2): {
        "power = lambda values, k: (values @ np.cos(2 * np.pi * k * np.arange(p) / p)) ** 2": "use the sine as well",
        "power = lambda values, k: abs(np.fft.rfft(values)[k])": "the power is its square",
        "power = lambda values, k: abs(np.fft.rfft(values)[k] / p) ** 2": "should be 240.25; yours is 0.25",
        "power = lambda values, k: (np.fft.rfft(values)[k].real - np.fft.rfft(values)[k].imag) ** 2": "square each sum, then add",
        "power = lambda values, k: abs(np.fft.rfft(values)[3]) ** 2": "should have no power at frequency 5"},
    (13, 3): {
        "add = lambda cos_a, sin_a, cos_b, sin_b: (cos_a + cos_b, sin_a + sin_b)": "that adds two arrows",
        "add = lambda cos_a, sin_a, cos_b, sin_b: (cos_a * cos_b + sin_a * sin_b, sin_a * cos_b - cos_a * sin_b)":
            "cosine of the difference",
        "add = lambda cos_a, sin_a, cos_b, sin_b: (sin_a * cos_b + cos_a * sin_b, cos_a * cos_b - sin_a * sin_b)":
            "return the cosine, then the sine",
        "add = lambda cos_a, sin_a, cos_b, sin_b: (cos_a * cos_b - sin_a * sin_b, sin_a * sin_b)": "the cosine is right"},
    (14, 1): {
        "best_scale = lambda w, bits: abs(w).max() / (2 ** (bits - 1) - 1)": "a smaller one has a smaller error",
        SCALES + "return scales[np.argmin([((s * np.round(w / s) - w) ** 2).sum() for s in scales])]": "so clip them",
        SCALES + "return min(((s * np.clip(np.round(w / s), -n, n) - w) ** 2).sum() for s in scales)": "return the scale that has it",
        SCALES + "return np.argmin([((s * np.clip(np.round(w / s), -n, n) - w) ** 2).sum() for s in scales]) / 100 + 0.01":
            "that is the factor i / 100",
        SCALES + "return scales[np.argmin([abs(s * np.clip(np.round(w / s), -n, n) - w).sum() for s in scales])]": "the best scale is"},
    (14, 2): {
        """
def attend(x, wq, wk, wv, keys, values):
    a = np.exp(keys @ (x @ wq) / np.sqrt(keys.shape[1]))
    return a / a.sum() @ values, np.vstack([keys, x @ wk]), np.vstack([values, x @ wv])""": "add its key and value first",
        ATTEND + "a = np.exp(keys @ (x @ wq)); return a / a.sum() @ values, keys, values": "divide them by the root of d",
        ATTEND + "a = np.exp(keys @ (x @ wq) / np.sqrt(len(x))); return a / a.sum() @ values, keys, values": "differs from that of",
        ATTEND + "a = np.exp(keys @ (x @ wq) / 2); return a / a.sum() @ values, keys[:-1], values[:-1]": "your keys have (3, 4)",
        ATTEND + "a = np.exp(keys @ (x @ wq) / 2); return a / a.sum() @ values, keys[::-1], values[::-1]": "at the end"},
    (14, 3): {
        "accept = lambda p, q, token: (p[token], np.maximum(p - q, 0) / np.maximum(p - q, 0).sum())": "compare the two",
        "accept = lambda p, q, token: (min(1, q[token] / p[token]), np.maximum(p - q, 0) / np.maximum(p - q, 0).sum())": "p / q, not q / p",
        "accept = lambda p, q, token: (p[token] / q[token], np.maximum(p - q, 0) / np.maximum(p - q, 0).sum())": "accept always",
        "accept = lambda p, q, token: (min(1, p[token] / q[token]), p)": "draw only from what is missing",
        "accept = lambda p, q, token: (min(1, p[token] / q[token]), np.maximum(p - q, 0))": "yours sum to 0.40",
        "accept = lambda p, q, token: (min(1, p[token] / q[token]), abs(p - q) / abs(p - q).sum())": "instead of 0.50, 0.30, 0.20"},
    (17, 1): {
        "unit_direction = lambda more, less: more.mean(0) - less.mean(0)": "its length should be 1, and is",
        "unit_direction = lambda more, less: (d := less.mean(0) - more.mean(0)) / np.linalg.norm(d)": "points from more to less",
        "unit_direction = lambda more, less: (d := more.mean() - less.mean()) / abs(d)": "take the mean over the tokens",
        """
def unit_direction(more, less):
    a, b = more.mean(0), less.mean(0)
    d = a / np.linalg.norm(a) - b / np.linalg.norm(b)
    return d / np.linalg.norm(d)""": "subtract the two means first"},
    (17, 2): {
        "without = lambda x, d: x - np.outer(x @ d, d)": "divide by d @ d",
        "without = lambda x, d: x - np.outer(x @ d, d) / np.linalg.norm(d)": "divide by its length twice",
        "without = lambda x, d: np.outer(x @ d, d) / (d @ d)": "return what remains",
        "without = lambda x, d: x - d": "the dot product of the first row with d should be 0"},
    (17, 3): {
        "explained = lambda y, x: ((x - y) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()": "the part that is not explained",
        "explained = lambda y, x: 1 - ((x - y) ** 2).sum() / (x ** 2).sum()": "zeros in place of the mean",
        "explained = lambda y, x: 1 - ((x - y) ** 2).sum() / ((x - x.mean()) ** 2).sum()": "x.mean() is one number",
        "explained = lambda y, x: 1 - ((x - y) ** 2).sum(0) / ((x - x.mean(0)) ** 2).sum(0)": "sum over both axes"},
    (15, 1): {
        "advantages = lambda r: r - r.mean()": "that subtracts the mean of all",
        "advantages = lambda r: r - (r.sum() - r)": "divide it by their number",
        "advantages = lambda r: (r.sum() - r) / (len(r) - 1) - r": "the sign is wrong",
        "advantages = lambda r: (r - r.mean()) / r.std()": "the last advantage is 3 - 1/3 = 2.67; yours is 1.63"},
    (15, 2): {
        "policy_gradient = lambda z, i, a: a * (np.eye(len(z))[i] - softmax(z))": "the loss has a minus",
        "policy_gradient = lambda z, i, a: softmax(z) - np.eye(len(z))[i]": "multiply it by the advantage",
        "policy_gradient = lambda z, i, a: a * softmax(z)": "the drawn token has a term more",
        "policy_gradient = lambda z, i, a: a * (softmax(z)[i] - 1)": "one number for each of the 5 logits"},
    (15, 3): {
        "divergence = lambda p, q: (q * np.log(q / p)).sum()": "p and q are exchanged",
        "divergence = lambda p, q: np.log(p / q).mean()": "counts every token equally",
        "divergence = lambda p, q: (p * np.log(q / p)).sum()": "never negative",
        "divergence = lambda p, q: (p * np.log2(p / q)).sum()": "it should be"},
    (16, 1): {
        "margin = lambda p1, q1, p2, q2: (p1 - q1).mean() - (p2 - q2).mean()": "means over the tokens",
        "margin = lambda p1, q1, p2, q2: (p2 - q2).sum() - (p1 - q1).sum()": "the sign is wrong",
        "margin = lambda p1, q1, p2, q2: p1.sum() - p2.sum()": "the reference is missing",
        "margin = lambda p1, q1, p2, q2: (p1 - q1).sum() + (p2 - q2).sum()": "so the margin is 5; yours is -1.00"},
    (16, 2): {
        "slope = lambda m, beta: beta / (1 + np.exp(beta * m))": "the sign is wrong",
        "slope = lambda m, beta: -1 / (1 + np.exp(beta * m))": "the factor beta",
        "slope = lambda m, beta: -beta / (1 + np.exp(-beta * m))": "yours grows with the margin",
        "slope = lambda m, beta: np.logaddexp(0, -beta * m)": "finite differences give -0.250; yours is 0.693"},
    (16, 3): {
        "all_pairs = lambda r: {(i, j) for i in range(len(r)) for j in range(len(r)) if r[i] < r[j]}": "the better text comes first",
        "all_pairs = lambda r: {(i, j) for i in range(len(r)) for j in range(len(r)) if r[i] >= r[j] and i != j}": "equal rewards",
        "all_pairs = lambda r: {(i, i + 1) for i in range(0, len(r), 2) if r[i] > r[i + 1]}": "you have 0 of them",
        "all_pairs = lambda r: {(r[i], r[j]) for i in range(len(r)) for j in range(len(r)) if r[i] > r[j]}": "and 3 others"},
}
