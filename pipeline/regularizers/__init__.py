"""What training does to latents between encoder and decoder, one regularizer per file.

The file NAME.py has a function NAME that returns a `Regularizer` (pipeline.regularizers.base).
`config.regularizers.NAME` holds its arguments, all of which have defaults; several apply in the
order of the recipe. Evaluation, samples and exported codecs know nothing of them. Functions may
also take `latent_channels`, which the model supplies, and `where`, the key in the recipe.
"""
