"""The weight tables of the architectures of Hugging Face; weight_table says how a line is read."""
from .weight_table import parse_weight_table

LLAMA_ATTENTION = """
token                         model.embed_tokens.weight
blocks.{i}.norm1.w            model.layers.{i}.input_layernorm.weight
blocks.{i}.att.wq             model.layers.{i}.self_attn.q_proj.weight               transposed
blocks.{i}.att.wk             model.layers.{i}.self_attn.k_proj.weight               transposed
blocks.{i}.att.wv             model.layers.{i}.self_attn.v_proj.weight               transposed
blocks.{i}.att.wo             model.layers.{i}.self_attn.o_proj.weight               transposed
blocks.{i}.att.bq             model.layers.{i}.self_attn.q_proj.bias
blocks.{i}.att.bk             model.layers.{i}.self_attn.k_proj.bias
blocks.{i}.att.bv             model.layers.{i}.self_attn.v_proj.bias
blocks.{i}.att.bo             model.layers.{i}.self_attn.o_proj.bias
blocks.{i}.norm2.w            model.layers.{i}.post_attention_layernorm.weight
norm.w                        model.norm.weight
head.w                        lm_head.weight                                         transposed
"""

LLAMA = parse_weight_table(LLAMA_ATTENTION + """
blocks.{i}.net.gate           model.layers.{i}.mlp.gate_proj.weight                  transposed
blocks.{i}.net.up             model.layers.{i}.mlp.up_proj.weight                    transposed
blocks.{i}.net.down           model.layers.{i}.mlp.down_proj.weight                  transposed
blocks.{i}.net.bgate          model.layers.{i}.mlp.gate_proj.bias
blocks.{i}.net.bup            model.layers.{i}.mlp.up_proj.bias
blocks.{i}.net.bdown          model.layers.{i}.mlp.down_proj.bias
""")

MIXTRAL = parse_weight_table(LLAMA_ATTENTION + """
blocks.{i}.net.router               model.layers.{i}.block_sparse_moe.gate.weight             transposed
blocks.{i}.net.experts.{e}.gate     model.layers.{i}.block_sparse_moe.experts.{e}.w1.weight   transposed
blocks.{i}.net.experts.{e}.up       model.layers.{i}.block_sparse_moe.experts.{e}.w3.weight   transposed
blocks.{i}.net.experts.{e}.down     model.layers.{i}.block_sparse_moe.experts.{e}.w2.weight   transposed
""")

STARCODER2 = parse_weight_table(LLAMA_ATTENTION + """
blocks.{i}.norm1.b            model.layers.{i}.input_layernorm.bias
blocks.{i}.norm2.b            model.layers.{i}.post_attention_layernorm.bias
blocks.{i}.net.up             model.layers.{i}.mlp.c_fc.weight                       transposed
blocks.{i}.net.b1             model.layers.{i}.mlp.c_fc.bias
blocks.{i}.net.down           model.layers.{i}.mlp.c_proj.weight                     transposed
blocks.{i}.net.b2             model.layers.{i}.mlp.c_proj.bias
norm.b                        model.norm.bias
""")

GPT2 = parse_weight_table("""
token                         transformer.wte.weight
position.table                transformer.wpe.weight
blocks.{i}.norm1.w            transformer.h.{i}.ln_1.weight
blocks.{i}.norm1.b            transformer.h.{i}.ln_1.bias
blocks.{i}.att.wq+wk+wv       transformer.h.{i}.attn.c_attn.weight                   fused
blocks.{i}.att.bq+bk+bv       transformer.h.{i}.attn.c_attn.bias                     fused
blocks.{i}.att.wo             transformer.h.{i}.attn.c_proj.weight
blocks.{i}.att.bo             transformer.h.{i}.attn.c_proj.bias
blocks.{i}.norm2.w            transformer.h.{i}.ln_2.weight
blocks.{i}.norm2.b            transformer.h.{i}.ln_2.bias
blocks.{i}.net.up             transformer.h.{i}.mlp.c_fc.weight
blocks.{i}.net.b1             transformer.h.{i}.mlp.c_fc.bias
blocks.{i}.net.down           transformer.h.{i}.mlp.c_proj.weight
blocks.{i}.net.b2             transformer.h.{i}.mlp.c_proj.bias
norm.w                        transformer.ln_f.weight
norm.b                        transformer.ln_f.bias
head.w                        lm_head.weight                                         transposed
""")

DEEPSEEK = parse_weight_table("""
token                               model.embed_tokens.weight
blocks.{i}.norm1.w                  model.layers.{i}.input_layernorm.weight
blocks.{i}.att.wq                   model.layers.{i}.self_attn.q_proj.weight                       transposed
blocks.{i}.att.wdq                  model.layers.{i}.self_attn.q_a_proj.weight                     transposed
blocks.{i}.att.norm_wdq.w           model.layers.{i}.self_attn.q_a_layernorm.weight
blocks.{i}.att.wuq                  model.layers.{i}.self_attn.q_b_proj.weight                     transposed
blocks.{i}.att.wdk+wkr              model.layers.{i}.self_attn.kv_a_proj_with_mqa.weight           transposed,fused
blocks.{i}.att.norm_wdk.w           model.layers.{i}.self_attn.kv_a_layernorm.weight
blocks.{i}.att.wuk+wuv              model.layers.{i}.self_attn.kv_b_proj.weight                    transposed,fused_by_head
blocks.{i}.att.wo                   model.layers.{i}.self_attn.o_proj.weight                       transposed
blocks.{i}.norm2.w                  model.layers.{i}.post_attention_layernorm.weight
blocks.{i}.net.gate                 model.layers.{i}.mlp.gate_proj.weight                          transposed
blocks.{i}.net.up                   model.layers.{i}.mlp.up_proj.weight                            transposed
blocks.{i}.net.down                 model.layers.{i}.mlp.down_proj.weight                          transposed
blocks.{i}.net.router               model.layers.{i}.mlp.gate.weight                               transposed
blocks.{i}.net.bias                 model.layers.{i}.mlp.gate.e_score_correction_bias
blocks.{i}.net.shared.gate          model.layers.{i}.mlp.shared_experts.gate_proj.weight           transposed
blocks.{i}.net.shared.up            model.layers.{i}.mlp.shared_experts.up_proj.weight             transposed
blocks.{i}.net.shared.down          model.layers.{i}.mlp.shared_experts.down_proj.weight           transposed
blocks.{i}.net.experts.{e}.gate     model.layers.{i}.mlp.experts.{e}.gate_proj.weight              transposed
blocks.{i}.net.experts.{e}.up       model.layers.{i}.mlp.experts.{e}.up_proj.weight                transposed
blocks.{i}.net.experts.{e}.down     model.layers.{i}.mlp.experts.{e}.down_proj.weight              transposed
norm.w                              model.norm.weight
head.w                              lm_head.weight                                                 transposed
""")

# names in the files that are no weights: masks and tables that are computed
IGNORED = r".*\.attn\.(masked_)?bias|.*rotary_emb\.inv_freq"
