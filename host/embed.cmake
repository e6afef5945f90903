# Turns a file into a C array: INPUT, OUTPUT, NAME. Character constants, because 0xe2 does not fit a signed char.
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${hex}")
file(WRITE ${OUTPUT} "extern const char embedded_${NAME}[];\nconst char embedded_${NAME}[] = {${bytes}0};\n")
