def faster(pipeline):
    for block in pipeline.transformer.transformer_blocks:
        block.compile(dynamic=True)
    return pipeline
