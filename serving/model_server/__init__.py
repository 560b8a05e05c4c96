"""A stand-in for TensorFlow Serving: the same protocol, configuration and rules, in one Python process.

It serves laptops and tests, where the `tensorflow/serving` image is not at hand; a deployment runs the image on the
same model directory and the same configuration file. Behaviour follows TensorFlow Serving 2.x: the protocol of
`tensorflow_serving/apis`, the REST API of its documentation, and the rules of its server core for versions and labels.

Start it with `python -m serving.model_server --model_config_file FILE --port 8500 --rest_api_port 8501`.
"""
