# Turns a file into a C array: INPUT, OUTPUT, NAME.
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
file(WRITE ${OUTPUT} "extern const char embedded_${NAME}[];\nconst char embedded_${NAME}[] = {${bytes}0};\n")
