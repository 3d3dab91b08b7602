"""The commands that find directions in the outputs of layers: direction, features."""
from .. import plans
from ..plans import text_output
from .answers import Answer, plain, with_path
from .options import Common, Everywhere, Text, Whole, app


@app.command
def direction(guid: str, name: str, *, more: list[Text], less: list[Text], layer: Whole | None = None, common: Everywhere = Common()):
    """Find the direction in a layer's output from some texts to others, for `inference --steer NAME:STRENGTH`.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        name: Name of the direction: small letters, digits and hyphens. A direction of the same name is replaced.
        more: A text of which the model shall write more; may be given several times.
        less: A text of which it shall write less: like the first, but without what is wanted; may be given several times.
        layer: The layer, from 0 to n_layers - 1 [the middle one].
    """
    found = plans.direction(guid, name, more, less, layer, common.path)
    return Answer(plain(found), text_output.direction(found, common.path))


@app.command
def features(guid: str = "last", *, input: str | None = None, layer: Whole | None = None, n_features: Whole | None = None,
             n_active: Whole = 16, n_steps: Whole = 1000, quiet: bool = False, common: Everywhere = Common()):
    """Find features in a layer with a sparse autoencoder, and the texts in which each is active. Writes a page to outputs/.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        input: A text file, or the name of one in inputs/ [the run's training text].
        layer: The layer, from 0 to n_layers - 1 [the middle one].
        n_features: Number of features [4 n_emb].
        n_active: The most features that are active in a token.
        n_steps: Steps of the autoencoder's training; Ctrl-C ends it earlier.
        quiet: No progress bars.
    """
    found = plans.features(guid, input, layer, n_features, n_active, n_steps, common.path, not quiet and not common.json)
    path = plans.save_page(found, "features", found.name, common.path)
    return Answer(dict(found.data(), path=path and str(path)), with_path(found, path))
