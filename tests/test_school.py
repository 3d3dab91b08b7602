"""Learning from rewards and preferences: gradients of all methods, sampling, rewards that fail, runs, resuming"""
import json
import re
from random import Random

import numpy as np
import pytest

import littlebaby as lb
from littlebaby.arrays import log_likelihood, tree
from littlebaby.inference.generate import Reader, generate_each
from littlebaby.inference.sampling import Sampling
from littlebaby.model.context import Context, variants
from littlebaby.runs.settings import allowed, files_of, module_of
from littlebaby.text import nursery, stories
from littlebaby.training.objectives import log_likelihoods, objective_of
from littlebaby.training.rewards import PROMPTS, REWARDS, SHORTEST, RewardModel, judge

METHODS = files_of("c_school")
OF_TEXTS = [name for name in METHODS if not hasattr(module_of("c_school", name), "rank_loss")]       # without the reward model
ON_SAMPLES = [name for name in OF_TEXTS if not hasattr(module_of("c_school", name), "pair_loss")]
TINY = dict(n_layers=2, n_emb=12, n_heads=2, n_ctx=16, d_type="fp64", n_vocab=7)


def difference(f, x, i, h=1e-6):
    """The derivative of f by x.flat[i]"""
    x = x.copy()
    x.flat[i] += h
    more = f(x)
    x.flat[i] -= 2 * h
    return (more - f(x)) / (2 * h)


def settings_of(name):
    """Variants of a method whose gradients differ"""
    return {"grpo": [{}, dict(r_kl=0.5, b_group_std=False, c_token_mean="constant", n_answer=9),
                     dict(c_token_mean="step", r_clip_high=0.4)],
            "dpo": [{}, dict(c_dpo="ipo", r_dpo=0.7)]}.get(name, [{}])


def test_the_log_likelihood_and_its_gradient():
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(2, 3, 5)), np.array([[1, -1, 4], [0, 2, -1]])
    y, back = log_likelihood(logits, targets)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    assert y[0, 0] == pytest.approx(np.log(p[0, 0, 1])) and y[0, 1] == y[1, 2] == 0
    dy = rng.normal(size=(2, 3))
    d = back(dy)
    for i in range(d.size):
        assert d.flat[i] == pytest.approx(difference(lambda z: (log_likelihood(z, targets)[0] * dy).sum(), logits, i), abs=1e-8)
    assert log_likelihood(logits.astype(np.float32), targets)[0].dtype == np.float32


@pytest.mark.parametrize("name", METHODS)
def test_the_gradient_of_every_method_equals_finite_differences(name):
    """Of the whole objective by every weight of a small GPT, with ratios and references that differ from the present model"""
    method = module_of("c_school", name)
    for changes in settings_of(name):
        cfg = lb.Config(**TINY, c_school=name, b_scalar_head=name == "reward_model", **changes)
        baby, rng = lb.Baby(cfg, seed=1), np.random.default_rng(2)
        N, T = 4, 6
        if cfg.b_scalar_head:                                    # it is 0 at the start, where most gradients are 0
            baby.weights()["head.w"][...] = rng.normal(size=(cfg.n_emb, 1))
        ids, targets = rng.integers(0, 7, (N, T)), rng.integers(0, 7, (N, T))
        targets[:, :2] = targets[1, 4:] = -1
        logp = log_likelihoods(lb.Baby(cfg.replace(b_scalar_head=False), seed=1).p, cfg, ids, targets, 2)
        noise = lambda: logp + 0.3 * rng.normal(size=logp.shape)
        pairs = (N // 2, 2, T)
        if hasattr(method, "rank_loss"):
            arrays = ids.reshape(pairs), targets.reshape(pairs), np.array([0.5, 0.5])
        elif hasattr(method, "pair_loss"):
            arrays = ids.reshape(pairs), targets.reshape(pairs), np.array([0.5, 0.5]), noise().sum(-1).reshape(-1, 2)
        else:
            counted = targets >= 0
            advantage = method.advantages(rng.normal(size=(2, 2)), cfg).reshape(-1)
            arrays = ids, targets, method.weights(counted, cfg), advantage, noise(), noise()
        objective = objective_of(method)
        grad = np.zeros(tree.size(baby.spec))
        loss = objective(baby.p, tree.views(baby.spec, grad), arrays, Context(cfg))

        def value(flat, arrays=arrays, objective=objective, spec=baby.spec, cfg=cfg):
            spare = np.zeros(tree.size(spec))
            return objective(tree.views(spec, flat), tree.views(spec, spare), arrays, Context(cfg))

        assert loss == pytest.approx(value(baby.flat)) and np.abs(grad).max() > 1e-4
        for i in rng.choice(len(grad), 60, replace=False):
            assert grad[i] == pytest.approx(difference(value, baby.flat, i), abs=2e-8)


@pytest.mark.parametrize("name", ON_SAMPLES)
def test_the_first_step_follows_the_advantages(name):
    """Where the samples come from the present weights, d loss / d logp is -advantage, and equal rewards teach nothing"""
    method, cfg = module_of("c_school", name), lb.Config(c_school=name)
    logp, a = np.log(np.full((2, 3), 0.4)), np.array([[1.5], [-0.5]])
    loss, dlogp, clipped = method.token_loss(logp, logp, logp, a, cfg)
    assert np.allclose(dlogp, -a) and not clipped.any()
    assert not method.advantages(np.full((2, 4), 0.7), cfg).any()
    best = method.advantages(np.array([[0.0, 3.0, 1.0, 0.0]]), cfg)
    assert best.argmax() == 1 and best[0, 1] > 0


def test_grpo_clips_a_gain_and_not_a_loss():
    grpo, cfg = module_of("c_school", "grpo"), lb.Config(r_kl=0)
    old, logp = np.log([[0.5, 0.5, 0.5, 0.5]]), np.log([[0.7, 0.7, 0.3, 0.3]])
    loss, dlogp, clipped = grpo.token_loss(logp, old, old, np.array([[1, -1, 1, -1]]), cfg)
    assert clipped.tolist() == [[True, False, False, True]]
    assert np.allclose(loss, [[-1.2, 1.4, -0.6, 0.8]]) and np.allclose(dlogp, [[0, 1.4, -0.6, 0]])


def test_grpo_and_its_variants_average_as_published():
    grpo, counted = module_of("c_school", "grpo"), np.array([[1, 1, 1, 0], [1, 0, 0, 0]], bool)
    weights = lambda **c: grpo.weights(counted, lb.Config(n_answer=10, **c)).sum(1)
    assert np.allclose(weights(), [0.5, 0.5])
    assert np.allclose(weights(c_token_mean="step"), [0.75, 0.25])
    assert np.allclose(weights(c_token_mean="constant"), [0.15, 0.05])


@pytest.mark.parametrize("attention", variants("attentions"))
def test_samples_of_a_batch_equal_samples_alone(attention):
    """Texts of different lengths, from which those that have ended are taken out, for every attention"""
    cfg = lb.Config(**{**TINY, "n_ctx": 40}, c_attention=attention)
    baby, ends = lb.Baby(cfg, seed=3), lambda text: "cd" in text or text.endswith("ee")
    prompts = [np.array(ids) for ids in ([1], [1], [2, 3], [1], [4, 1], [1], [1])]
    rngs = lambda: [np.random.default_rng([5, i]) for i in range(len(prompts))]
    together = generate_each(baby.p, baby.config, prompts, 30, Sampling(), rngs(), ends, "abcdefg")
    assert len({len(ids) for ids in together}) > 2
    for prompt, rng, ids in zip(prompts, rngs(), together):
        alone, = generate_each(baby.p, baby.config, [prompt], 30, Sampling(), [rng], ends, "abcdefg")
        assert alone.tolist() == ids.tolist()
        text = "".join("abcdefg"[i] for i in ids)
        assert len(ids) == 30 or ends(text) and not ends(text[:-1])


def test_reader_keeps_the_rows_that_are_left():
    baby = lb.Baby(lb.Config(**TINY), seed=0)
    ids = np.random.default_rng(0).integers(0, 7, (4, 6))
    reader = Reader(baby.p, baby.config)
    reader.read(ids[:, :5])
    reader.keep_rows(np.array([False, True, False, True]))
    assert np.allclose(reader.read(ids[[1, 3]])[:, 0], baby.logits(ids)[[1, 3], -1])


# rewards

def test_the_reward_of_the_nursery():
    text, _ = stories.document(Random(0))
    reward = REWARDS["nursery"]
    assert reward("", text.strip()) == 1.0
    first = text.split(". ")[0] + "."
    assert reward("", first) == 1 / 12                           # every sentence is right, but the story has no end
    assert reward("", "A stone sang.") == 0.0
    assert reward(first, text.strip()[len(first):]) == 1.0
    lengths = [len(stories.SENTENCE_END.findall(story)) for story, _ in nursery.pieces(100_000, 1)]
    assert min(lengths) == SHORTEST and reward("", text.replace(". ", "! ", 1).strip()) == 0.0


def test_the_reward_of_sums_and_its_prompts():
    reward = REWARDS["sums"]
    assert reward("4+7+2?", " 11+2=13.") == reward("4+7+2?", "=13.") == 1.0 and reward("4+7+2?", " 11+2=14.") == 0.0
    asked = {PROMPTS["sums"](Random(i)) for i in range(50)}
    assert len(asked) > 40 and all(re.fullmatch(r"([1-9]\+){1,4}[1-9]\?", prompt) for prompt in asked)


def test_every_reward_has_a_name_in_the_settings():
    assert allowed("c_reward") == [*REWARDS, "function", "model"]


def test_a_reward_that_fails_is_told():
    def wrong(prompt, text):
        if text == "b":
            raise ValueError("no")
        return float("nan") if text == "c" else 1

    with pytest.raises(lb.BadInput) as error:
        judge(wrong, ["", ""], ["a", "b"])
    assert str(error.value) == ("the reward wrong raised ValueError: no for the text 'b'; it must return a finite number; c_reward_failure "
                                "skip leaves such samples out")
    judged = judge(wrong, [""] * 3, ["a", "b", "c"], "skip")
    assert judged.failed == 2 and judged.message.startswith("the reward wrong raised ValueError: no")
    assert judged.rewards[0] == 1 and np.isnan(judged.rewards[1:]).all()


# runs

SMALL = dict(n_steps=3, s_eval=1, batch_size=4, n_accumulate=2, n_answer=24, n_completion=0, progress=False, r_learn=3e-3)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A workspace with a baby that has hardly learned"""
    path = tmp_path_factory.mktemp("home")
    lb.train(path=path, n_layers=1, n_emb=16, n_heads=2, n_ctx=32, n_steps=3, n_eval_windows=2, n_completion=0, n_sample=0, progress=False)
    return path


def vowels(prompt, text):
    return sum(letter in "aeiou" for letter in text) / max(len(text), 1)


@pytest.mark.parametrize("name", OF_TEXTS)
def test_every_method_raises_the_reward_of_a_small_model(home, name):
    """The share of vowels as reward, for texts of a model that knows nothing"""
    run = lb.school(lb.list(home)[0].name, vowels, path=home, c_school=name, n_steps=30, s_eval=10,
                    batch_size=16, n_accumulate=1, n_answer=16, r_learn=0.01, r_kl=0.02, b_group_std=True, c_unfinished="judge",
                    n_completion=0, progress=False)
    before, after = run.report.school.before, run.report.school.after
    assert run.guid.endswith("_school") or "_school_" in run.guid
    assert run.report.school.method == name and run.report.school.reward == "vowels" and after.samples == 200
    assert after.reward > before.reward + 0.02, (before.reward, after.reward)
    assert [row.step for row in run.report.evaluations] == [10, 20, 30]
    assert run.report.evaluations[0].measures.ended is not None and run.report.evaluations[0].valid_loss is None


def test_a_run_goes_on_or_stops_where_its_reward_fails(home, capsys):
    base, asked = lb.list(home)[0].name, []

    def fails(prompt, text):
        asked.append(text)
        return float("nan") if len(asked) % 3 else 1.0

    run = lb.school(base, fails, path=home, c_unfinished="judge", c_reward_failure="skip", **SMALL)
    assert [row.measures.failed > 2 for row in run.report.evaluations] == [True] * 3 and np.isfinite(lb.load(run.guid, home).flat).all()
    assert capsys.readouterr().err.count("the reward fails returned nan for the text") == 1
    never = lb.school(base, lambda prompt, text: None, path=home, c_unfinished="judge", c_reward_failure="skip", **SMALL)
    assert np.array_equal(lb.load(never.guid, home).flat, lb.load(base, home).flat)              # nothing to learn from
    with pytest.raises(lb.BadInput, match="the reward fails returned nan for the text"):
        lb.school(base, fails, path=home, c_unfinished="judge", **SMALL)


def test_a_run_is_the_same_after_a_stop(home):
    """Also in the middle of the updates from the same samples"""
    base = lb.list(home)[0].name
    keep = SMALL | dict(n_steps=6, n_updates=3, s_checkpoint=2, path=home, b_keep_last=True)
    whole = lb.school(base, "length", **keep)
    calls = iter(range(100))
    half = lb.school(base, "length", stop=lambda: next(calls) == 3, **keep)
    assert half.report.stop_reason == "interrupted"
    resumed = lb.train(resume=half.guid, path=home, progress=False)
    assert resumed.report.stop_reason == "finished"
    one, other = (lb.load(run.guid, home).flat for run in (whole, resumed))
    assert np.array_equal(one, other)
    assert [row.measures for row in whole.report.evaluations] == [row.measures for row in resumed.report.evaluations]


def test_a_function_is_needed_again_to_resume(home):
    base, calls = lb.list(home)[0].name, iter(range(100))
    half = lb.school(base, vowels, stop=lambda: next(calls) == 1, **SMALL, path=home)
    with pytest.raises(lb.BadInput) as error:
        lb.train(resume=half.guid, path=home, progress=False)
    assert str(error.value) == "c_reward is function, so the run needs its function: lb.school(..., reward=function)"
    assert lb.school(resume=half.guid, reward=vowels, path=home, progress=False).report.stop_reason == "finished"


def test_pairs_from_a_file(home):
    lines = [dict(prompt="", chosen="Ada saw a pig.", rejected="zz zz"), dict(chosen="Ben", rejected="qq")]
    (home / "inputs").mkdir(exist_ok=True)
    (home / "inputs" / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    run = lb.school(lb.list(home)[0].name, pairs="pairs.jsonl", path=home, n_steps=40, s_eval=10, batch_size=2, n_completion=0,
                    n_accumulate=1, progress=False, r_learn=3e-3)
    first, *_, last = run.report.evaluations
    assert run.report.school.pairs == 2 and run.config.c_school == "dpo"
    assert last.measures.margin > first.measures.margin + 1 and last.measures.accuracy == 1


def test_a_reward_model_learns_to_judge_and_another_baby_learns_from_it(home):
    rng, base = Random(0), lb.list(home)[0].name
    text = lambda letters: "".join(rng.choice(letters) for _ in range(8))
    lines = [dict(prompt="", chosen=text("aeiou"), rejected=text("bcdfg")) for _ in range(40)]
    (home / "inputs").mkdir(exist_ok=True)
    (home / "inputs" / "letters.jsonl").write_text("\n".join(map(json.dumps, lines)))
    judge_run = lb.school(base, pairs="letters.jsonl", c_school="reward_model", path=home, n_steps=40, s_eval=20, batch_size=8,
                          r_learn=0.01, progress=False)
    assert judge_run.report.evaluations[-1].measures.accuracy > 0.95 and judge_run.completion is None
    model = RewardModel("judge", lb.load(judge_run.guid, home, reward_model=True))
    assert model("", "aeioua") > model("", "bcdfgb") + 1
    with pytest.raises(lb.BadInput) as error:
        lb.inference(judge_run.guid, path=home)
    assert str(error.value) == (f"{judge_run.guid} is a reward model: it gives a text a number and generates none; `littlebaby school GUID "
                                f"--reward {judge_run.guid[:8]}{judge_run.guid[36:]} --path {home}` learns from it")
    with pytest.raises(lb.BadInput, match="is no reward model; `littlebaby school"):
        lb.school(base, reward=base, path=home, progress=False)
    run = lb.school(base, reward=judge_run.guid, path=home, c_unfinished="judge", **SMALL | dict(n_steps=15, batch_size=16, n_answer=12))
    assert run.report.school.after.reward > run.report.school.before.reward
    again = lb.load(run.guid, home)
    assert again.config.c_reward == "model" and not again.config.b_scalar_head


def test_adapters_learn_from_rewards_too(home):
    run = lb.school(lb.list(home)[0].name, "length", path=home, lora_rank=2, **SMALL)
    assert run.report.figures.parameters.frozen > 0 and (home / "models" / f"adapters_{run.guid}.safetensors").exists()


@pytest.mark.parametrize("call, sentence", [
    (dict(reward="nursry"), "reward is 'nursry'; allowed are nursery, sums, format, length; did you mean nursery?; the GUID of a reward "
                            "model is allowed too, and in Python a function of (prompt, text)"),
    (dict(n_emb=8), "n_emb is 8; allowed in finetune is 16, as in the base, whose weights depend on it; did you mean 16?"),
    (dict(n_per_prompt=3, batch_size=8, n_accumulate=1),
     "n_per_prompt is 3; allowed are divisors of batch_size * n_accumulate, 8; did you mean 2?"),
    (dict(n_answer=99), "n_answer is 99; allowed with the longest prompt and n_ctx, 32, is at most 32; did you mean 32?"),
    (dict(c_school="grp"), "c_school is 'grp'; allowed are bestof, dpo, grpo, reinforce, reward_model; did you mean grpo?"),
])
def test_wrong_input_gets_one_sentence(home, call, sentence):
    with pytest.raises(lb.BadInput) as error:
        lb.school(lb.list(home)[0].name, path=home, progress=False, **call)
    assert str(error.value) == sentence


def test_pairs_that_cannot_be_used(home):
    (home / "inputs" / "bad.jsonl").write_text('{"prompt": "a", "chosen": "b"}\n')
    with pytest.raises(lb.BadInput, match="bad.jsonl, line 1: allowed is an object with the texts prompt, chosen and rejected"):
        lb.school(lb.list(home)[0].name, pairs="bad.jsonl", path=home, progress=False)
    with pytest.raises(lb.BadInput, match="c_school is grpo; allowed with pairs are dpo and reward_model; did you mean dpo?"):
        lb.school(lb.list(home)[0].name, pairs="bad.jsonl", c_school="grpo", path=home, progress=False)


def test_training_ends_after_its_minutes(home):
    run = lb.school(lb.list(home)[0].name, "length", path=home, **{**SMALL, "n_steps": 1000}, r_minutes=1e-6)
    assert run.report.stop_reason == "time limit" and run.report.evaluations[-1].step == 1 and run.report.school.after
    assert not lb.list(home)[-1].resumable
