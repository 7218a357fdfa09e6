# Writes a C++ file that holds a JSON document as a string.
# Run by maps/CMakeLists.txt: cmake -DINPUT=... -DOUTPUT=... -P embed.cmake
# Invariant: the string is the file, byte for byte.
file(READ "${INPUT}" document)
string(FIND "${document}" ")kudo_json\"" closing)
if(NOT closing EQUAL -1)
  message(FATAL_ERROR "${INPUT}: holds the end mark of the string it is put into")
endif()
file(WRITE "${OUTPUT}" "#include <string_view>\n\nnamespace kudo {\n"
  "extern const std::string_view built_in_json;\n"
  "const std::string_view built_in_json = R\"kudo_json(${document})kudo_json\";\n}\n")
