#pragma once
// What is wrong, and where: one line for a person, one object of `gpcsup check --json`.

#include <string>

namespace gpcsup::config {

struct Location {
    std::string file;
    unsigned line = 1;    // from 1
    unsigned column = 1;  // from 1, in characters

    bool operator==(const Location&) const = default;
};

struct Located {
    std::string file;
    unsigned line = 1;
    unsigned column = 1;
    std::string key;  // "service.restart"; empty when the problem is not one key's
    std::string message;

    bool operator==(const Located&) const = default;
};

[[nodiscard]] std::string format(const Located& problem);  // "web.toml:3:1: service.restart: …"

}  // namespace gpcsup::config
