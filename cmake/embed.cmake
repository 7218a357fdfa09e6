# Writes a C++ file that holds a text as a string: cmake -DINPUT=... -DOUTPUT=... -DNAME=... -P embed.cmake
# Run by maps/CMakeLists.txt and cli/CMakeLists.txt.
# Invariant: the string kudo::NAME is the file, byte for byte.
file(READ "${INPUT}" document)
string(FIND "${document}" ")kudo_text\"" closing)
if(NOT closing EQUAL -1)
  message(FATAL_ERROR "${INPUT}: holds the end mark of the string it is put into")
endif()
file(WRITE "${OUTPUT}" "#include <string_view>\n\nnamespace kudo {\n"
  "extern const std::string_view ${NAME};\n"
  "const std::string_view ${NAME} = R\"kudo_text(${document})kudo_text\";\n}\n")
