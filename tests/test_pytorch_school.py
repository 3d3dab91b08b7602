"""The losses and gradients of grpo and dpo beside those of the TRL library: the same weights, samples and advantages, in float64"""
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

import littlebaby as lb
from littlebaby.arrays import tree
from littlebaby.model.context import Context
from littlebaby.runs.settings import module_of
from littlebaby.training.objectives import log_likelihoods, objective_of

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[peers]'")
pytest.importorskip("trl", reason="TRL is not installed: pip install -e '.[peers]'")
from pytorch_peer import Peer  # noqa: E402  after the checks above

B, P, C = 4, 3, 6          # samples, tokens of a prompt, tokens of a completion


class Accelerator(SimpleNamespace):
    device, num_processes = torch.device("cpu"), 1

    def gather(self, x, **_):
        return x

    gather_for_metrics = reduce = gather


@pytest.fixture(scope="module")
def models():
    """A baby, its peer, ids (B, P + C), a mask of the completions, and log-probabilities of two other models"""
    torch.set_default_dtype(torch.float64)
    cfg = lb.Config(n_layers=2, n_emb=16, n_heads=2, n_ctx=16, n_vocab=11, c_bias="all", d_type="fp64")
    baby, rng = lb.Baby(cfg, seed=0), np.random.default_rng(1)
    for w in baby.weights().values():                            # larger weights than at the start of a training
        w += 0.1 * rng.normal(size=w.shape)
    peer = Peer(cfg)
    peer.take(baby)
    ids = rng.integers(0, 11, (B, P + C))
    mask = np.arange(C) < np.array([6, 3, 5, 1])[:, None]
    x, targets = ids[:, :-1], np.where(np.pad(mask, ((0, 0), (P - 1, 0))), ids[:, 1:], -1)
    logp = log_likelihoods(baby.p, cfg, x, targets, B)
    others = [np.where(targets >= 0, logp + 0.2 * rng.normal(size=logp.shape), 0) for _ in range(2)]
    yield baby, peer, ids, mask, x, targets, *others
    torch.set_default_dtype(torch.float32)


def log_probabilities(peer, ids):
    """(B, P + C - 1): of each token but the first"""
    logits = peer.logits(torch.tensor(ids))[:, :-1].log_softmax(-1)
    return logits.gather(-1, torch.tensor(ids)[:, 1:, None])[..., 0]


def compare(baby, peer, objective, arrays, cfg, loss):
    """Both losses and all gradients are equal"""
    grad = np.zeros(tree.size(baby.spec))
    mine = objective(baby.p, tree.views(baby.spec, grad), arrays, Context(cfg))
    peer.zero_grad()
    loss.backward()
    assert mine == pytest.approx(loss.item(), abs=1e-12)
    mine, theirs = tree.named(baby.spec, grad), peer.gradients()
    assert max(np.abs(theirs[name]).max() for name in theirs) > 1e-3
    for name in theirs:
        assert np.abs(mine[name] - theirs[name]).max() < 1e-9, name


@pytest.mark.parametrize("changes, theirs", [
    ({}, {}), (dict(r_kl=0.3, r_clip_high=0.28), dict(beta=0.3, epsilon_high=0.28)),
    (dict(c_token_mean="step", r_kl=0), dict(loss_type="bnpo", beta=0.0)),
    (dict(c_token_mean="constant", n_answer=9, r_kl=0), dict(loss_type="dr_grpo", beta=0.0, max_completion_length=9))])
def test_grpo_equals_trl(models, changes, theirs):
    from trl.trainer.grpo_trainer import GRPOTrainer

    baby, peer, ids, mask, x, targets, old, reference = models
    cfg = baby.config.replace(c_school="grpo", **changes)
    grpo = module_of("c_school", "grpo")
    advantage = grpo.advantages(np.array([[1.0, 0.2], [0.4, 0.9]]), cfg).reshape(-1)

    tensor = lambda a: torch.tensor(a)
    logp = log_probabilities(peer, ids)[:, P - 1:]
    trainer = MagicMock(**dict(
        _get_per_token_logps_and_entropies=lambda *a, **k: (logp, torch.zeros_like(logp), None), aux_loss_enabled=False,
        top_entropy_quantile=1.0, off_policy_mask_threshold=None, importance_sampling_level="token", beta=cfg.r_kl, loss_type="grpo",
        epsilon_low=cfg.r_clip_low, epsilon_high=cfg.r_clip_high, use_vllm=False, vllm_importance_sampling_correction=False,
        args=MagicMock(use_bias_correction_kl=False, delta=None), entropy_coef=0.0, use_adaptive_entropy=False,
        model=SimpleNamespace(training=False),
        current_gradient_accumulation_steps=1, accelerator=Accelerator(), max_completion_length=9) | theirs)
    loss = GRPOTrainer._compute_loss(trainer, None, dict(
        prompt_ids=tensor(ids[:, :P]), prompt_mask=torch.ones(B, P), completion_ids=tensor(ids[:, P:]), completion_mask=tensor(mask).long(),
        advantages=tensor(advantage), old_per_token_logps=tensor(old[:, P - 1:]), ref_per_token_logps=tensor(reference[:, P - 1:])))
    arrays = x, targets, grpo.weights(targets >= 0, cfg), advantage, old, reference
    compare(baby, peer, objective_of(grpo), arrays, cfg, loss)


@pytest.mark.parametrize("kind, theirs", [("dpo", "sigmoid"), ("ipo", "ipo")])
def test_dpo_equals_trl(models, kind, theirs):
    from trl.trainer.dpo_trainer import DPOTrainer

    baby, peer, ids, mask, x, targets, _, reference = models
    cfg = baby.config.replace(c_school="dpo", c_dpo=kind, r_dpo=0.4)
    completion = torch.tensor(np.pad(mask, ((0, 0), (P, 0)))).long()
    at_start = torch.tensor(reference.sum(1))
    logp = log_probabilities(peer, ids) * completion[:, 1:]
    trainer = MagicMock(
        model=SimpleNamespace(training=False), accelerator=Accelerator(), aux_loss_enabled=False, ld_alpha=None,
        precompute_ref_logps=True, f_divergence_type="reverse_kl", loss_types=[theirs], loss_weights=[1.0], beta=cfg.r_dpo,
        use_weighting=False, label_smoothing=0.0)
    model = lambda **kwargs: SimpleNamespace(log_probs=logp, entropy=torch.zeros_like(logp), accuracy=torch.zeros_like(logp), loss=None,
                                             aux_loss=None, mean_logits=torch.zeros_like(logp),
                                             is_top1=torch.zeros_like(logp).bool())
    loss = DPOTrainer._compute_loss(trainer, model, dict(
        input_ids=torch.tensor(ids), attention_mask=torch.ones(B, P + C), completion_mask=completion, ref_chosen_logps=at_start[:2],
        ref_rejected_logps=at_start[2:]), False)
    pair = np.array([[0, 2], [1, 3]])                            # TRL has all preferred texts first
    arrays = x[pair], targets[pair], np.array([0.5, 0.5]), reference.sum(1)[pair]
    compare(baby, peer, objective_of(module_of("c_school", "dpo")), arrays, cfg, loss)


def test_the_advantages_equal_those_of_trl():
    """TRL: rewards less the mean of the group, divided by its standard deviation (of n - 1) + 1e-4"""
    rewards = np.random.default_rng(0).normal(size=(3, 5))
    t = torch.tensor(rewards)
    theirs = (t - t.mean(1, keepdim=True)) / (t.std(1, keepdim=True) + 1e-4)
    assert np.allclose(module_of("c_school", "grpo").advantages(rewards, lb.Config()), theirs.numpy(), atol=1e-14)
