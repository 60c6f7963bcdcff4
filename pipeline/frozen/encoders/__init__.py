"""Frozen encoders of images, one file a family; a recipe names the file.

The contract of a file:

  SOURCE: where trained weights are to be had, for messages.
  MODEL_TYPES: values of "model_type" in the config.json of a folder that it reads.
  PREPROCESSING: the normalization of the published models (pipeline.frozen.preprocessing), where a
    folder does not say its own.
  NAMINGS: the names of tensors in files that it reads (pipeline.frozen.naming), the newest first.
  settings(tensors, config): returns the arguments of `create` for a file's tensors and the content
    of config.json ({} without one). `tensors` have no prefix. Raises CheckpointError.
  create(*, ..., key, dtype): returns the network, a pipeline.nn.tokens.vision_transformer.
"""
