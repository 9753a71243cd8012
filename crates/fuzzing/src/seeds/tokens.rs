//! Dictionaries: pieces of bytes that mean something in a kind of file.

type Tokens = &'static [&'static [u8]];

pub(crate) const PNG: Tokens = &[
    b"\x89PNG\r\n\x1a\n", b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"eXIf", b"tEXt",
    b"zTXt", b"iTXt", b"acTL", b"fcTL", b"fdAT", b"bKGD", b"pHYs", b"sBIT", b"tIME", b"\0\0\0\0", b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff", b"\x78\x9c",
];

pub(crate) const JPEG: Tokens = &[
    b"\xff\xd8", b"\xff\xd9", b"\xff\xc0", b"\xff\xc1", b"\xff\xc2", b"\xff\xc3", b"\xff\xc4", b"\xff\xc9", b"\xff\xca",
    b"\xff\xcc", b"\xff\xda", b"\xff\xdb", b"\xff\xdc", b"\xff\xdd", b"\xff\xd0", b"\xff\xe0", b"\xff\xe1", b"\xff\xe2",
    b"\xff\xee", b"\xff\xfe", b"Exif\0\0", b"JFIF\0", b"Adobe\0", b"ICC_PROFILE\0", b"MM\0*", b"II*\0", b"\xff\x00", b"\xff\xff",
];

pub(crate) const WEBP: Tokens = &[
    b"RIFF", b"WEBP", b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP ", b"\x9d\x01\x2a", b"\x2f",
    b"\xff\x3f\xff\x3f", b"\xff\xff\xff",
];

pub(crate) const BMP: Tokens = &[
    b"BM", b"\x28\0\0\0", b"\x0c\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0", b"\x38\0\0\0", b"\x34\0\0\0", b"\x01\0\x20\0",
    b"\x03\0\0\0", b"\x06\0\0\0", b"\0\0", b"\0\x01", b"\0\x02", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\x01\0",
];

pub(crate) const SAFETENSORS: Tokens = &[
    b"__metadata__", b"dtype", b"shape", b"data_offsets", b"F32", b"F16", b"F64", b"BF16", b"I64", b"U8", b"BOOL", b"F8_E4M3",
    b"C64", b"[", b"]", b"{", b"}", b"\"", b",", b"[0,0]", b"[4294967296,4294967296]", b"18446744073709551615",
    b"layer1.0.conv1.weight", b"layer4.0.conv1.weight", b"fc.weight", b"linear.weight", b"features.0.weight", b"head.weight",
    b"module.", b"weight_scale", b"down2.maxpool_conv.1.conv1.weight",
];

pub(crate) const PICKLE: Tokens = &[
    b"\x80\x02", b"\x80\x05", b"(", b".", b"N", b"\x88", b"]", b"}", b")", b"K\0", b"K\x01", b"J\xff\xff\xff\xff",
    b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x8a\xff", b"M\xff\xff", b"u", b"s", b"t", b"R", b"\x81", b"b", b"Q", b"q\0",
    b"h\0", b"\x94", b"j\xff\xff\xff\x7f", b"\x85", b"\x86", b"\x87", b"cos\nsystem\n", b"cbuiltins\neval\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\n_rebuild_parameter\n", b"ctorch\nFloatStorage\n",
    b"ctorch\nUntypedStorage\n", b"ctorch\nSize\n", b"ccollections\nOrderedDict\n", b"ccollections\ndefaultdict\n",
    b"cnumpy.core.multiarray\nscalar\n", b"X\x07\0\0\0storage", b"X\x0a\0\0\0state_dict", b"X\x05\0\0\0model",
    b"X\x09\0\0\0fc.weight", b"U\x04data", b"U\x06labels", b"(K\xffK\xffJ\xff\xff\xff\x7ft", b"(K\0K\0t", b"G\x7f\xf0\0\0\0\0\0\0",
];

pub(crate) const ONNX: Tokens = &[
    b"Conv", b"ConvTranspose", b"MaxPool", b"AveragePool", b"Gemm", b"MatMul", b"BatchNormalization", b"Reshape", b"Resize",
    b"Upsample", b"Slice", b"Split", b"Concat", b"Gather", b"GatherND", b"ScatterND", b"Expand", b"Tile", b"Pad", b"Range",
    b"ConstantOfShape", b"Constant", b"Shape", b"Size", b"Where", b"Pow", b"Cast", b"Softmax", b"Transpose", b"Unsqueeze",
    b"Squeeze", b"Flatten", b"DepthToSpace", b"SpaceToDepth", b"ReduceMean", b"ReduceProd", b"Clip", b"LRN", b"Dropout",
    b"LayerNormalization", b"GroupNormalization", b"InstanceNormalization", b"Einsum", b"LSTM", b"Loop", b"If", b"Identity",
    b"QuantizeLinear", b"DequantizeLinear", b"kernel_shape", b"strides", b"pads", b"dilations", b"group", b"auto_pad",
    b"SAME_UPPER", b"SAME_LOWER", b"VALID", b"NOTSET", b"ceil_mode", b"axis", b"axes", b"perm", b"mode", b"linear", b"cubic",
    b"nearest", b"scales", b"sizes", b"alpha", b"beta", b"epsilon", b"to", b"transA", b"transB", b"keepdims", b"blocksize",
    b"num_groups", b"value", b"training_mode", b"ai.onnx", b"ai.onnx.ml", b"com.microsoft", b"location", b"offset", b"length",
    b"weights.bin", b"../../../etc/passwd", b"/dev/zero", b"/proc/self/mem", b"18446744073709551615", b"x", b"y", b"a", b"b",
    b"scores", b"",
];

pub(crate) const ARCHIVE: Tokens = &[
    b"ustar\x0000", b"ustar  \0", b"././@LongLink", b"../", b"/", b"/etc/passwd", b"./", b"//", b"auk", b"owl", b".png", b".jpg",
    b".cls", b".json", b".npy", b".npz", b"classes.txt", b"__MACOSX/", b"._", b".DS_Store", b"27 path=", b"size=", b"hdrcharset=",
    b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"\xff\xff\xff\xff", b"77777777777",
    b"\x80\0\0\0\x7f\xff\xff\xff", b"GNU.sparse.size=", b"\xcc\x81", b"\xff\xfe", b"\x1b[2J", b"fog/1/", b"fog/5/",
];

pub(crate) const CSV: Tokens = &[
    b"path", b"label", b",", b";", b"\t", b"\"", b"\"\"", b"\r\n", b"\r", b"\xef\xbb\xbf", b"\xff\xfe", b"a.png", b"b.png",
    b"../classes.txt", b"/dev/zero", b"/proc/self/environ", b".", b"..", b"-1", b"0.5", b"1e3", b"auk", b"owl", b"\0", b"\x1b[2J",
    b"a\xcc\x81",
];

pub(crate) const NPY: Tokens = &[
    b"\x93NUMPY", b"'descr': ", b"'fortran_order': ", b"'shape': ", b"True", b"False", b"'|u1'", b"'<i8'", b"'<f4'", b"'|O'",
    b"'<U8'", b"(5, 32, 32, 3)", b"()", b"(0,)", b"(-1,)", b"(18446744073709551615, 2)", b"\x02\0", b"\x03\0", b"\n",
];

pub(crate) const IDX: Tokens = &[
    b"\0\0\x08\x01", b"\0\0\x08\x03", b"\0\0\x0d\x03", b"\x1f\x8b\x08\0", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\x01\0\0",
    b"\0\0\xff\xff",
];

pub(crate) const POLICY: Tokens = &[
    b"version", b"[about]", b"[[op]]", b"[[group]]", b"name", b"weight", b"factor", b"mean", b"quantiles", b"change",
    b"clean_weight", b"clean_factor", b"clean_change", b"by", b"images", b"weights", b"\"contrast\"", b"\"gamma\"", b"\"hue\"",
    b"\"rotate\"", b"\"low_pass_0.25\"", b"\"high_pass_0.01\"", b"\"urie\"", b"\"identity\"", b"\"sharpness\"", b"nan", b"inf",
    b"-inf", b"1e308", b"[]", b"{}", b"\"\"\"", b"1979-05-27", b"\\u0000", b"\\u001b",
];

pub(crate) const CONFIG: Tokens = &[
    b"format", b"method", b"dyntta", b"urie", b"bank", b"control_size", b"image_size", b"classifier", b"normalisation", b"classes",
    b"seed", b"versions", b"training", b"null", b"true", b"[]", b"{}", b"\"identity\"", b"\"urie\"", b"\"low_pass_0.999\"",
    b"\"low_pass_nan\"", b"epochs", b"batch-size", b"optimizer", b"schedule", b"setting", b"preset", b"input-size", b"size",
    b"1e999", b"-1", b"\"\\u001b[2J\"", b"\"\\u0000\"", b"[[[[[[[[", b"{\"a\":{\"a\":{\"a\":",
];

pub(crate) const PREPROCESSING: Tokens = &[
    b"input_size", b"resize", b"interpolation", b"crop_pct", b"mean", b"std", b"channels", b"range", b"classes", b"\"none\"",
    b"\"stretch\"", b"\"shorter-side\"", b"\"bgr\"", b"\"0..255\"", b"\"-1..1\"", b"\"nearest\"", b"\"lanczos\"", b"pretrained_cfg",
    b"default_cfg", b"crop_mode", b"label_names", b"num_classes", b"dyntta.", b"null", b"[0,0,0]", b"[1e39,1,1]", b"1e-320",
    b"[3, 8193, 1]", b"\"\\u001b[2J\"",
];

#[cfg(feature = "parquet")]
pub(crate) const PARQUET: Tokens = &[
    b"PAR1", b"PARE", b"image", b"bytes", b"path", b"label", b"huggingface", b"\x15\x00", b"\x15\x02", b"\x15\x0c", b"\x19\x1c",
    b"\x19\xfc\xff\xff\xff\xff\x0f", b"\x16\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x18\x05image", b"\0\0\0\0",
    b"\xff\xff\xff\x7f",
];
