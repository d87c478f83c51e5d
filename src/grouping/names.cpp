#include "grouping/names.h"

#include <cerrno>
#include <string>

#include "grouping/ids.h"

namespace gpcsup::grouping {

namespace {

bool is_word_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool is_control(char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

// For messages: a name that somebody typed may hold anything, also what would garble a terminal.
std::string quoted(std::string_view text) {
    std::string result = "'";
    for (const char c : text.substr(0, 80)) {
        result += is_control(c) ? '?' : c;
    }
    return result + (text.size() > 80 ? "…'" : "'");
}

}  // namespace

base::Result<> check_hierarchy_name(std::string_view name) {
    if (name.empty()) {
        return base::refuse(EINVAL, "the name of a hierarchy is empty");
    }
    if (name.size() > max_hierarchy_name) {
        return base::refuse(ENAMETOOLONG,
                            quoted(name) + " is too long for a hierarchy: at most 63 characters");
    }
    for (const char c : name) {
        if (!is_word_character(c)) {
            return base::refuse(EINVAL, quoted(name) + " cannot name a hierarchy",
                                "letters, digits, '.', '_' and '-' can");
        }
    }
    if (name == "." || name == "..") {
        return base::refuse(EINVAL, quoted(name) + " cannot name a hierarchy");
    }
    return {};
}

base::Result<> check_group_name(std::string_view name) {
    if (name.empty()) {
        return base::refuse(EINVAL, "the name of a group is empty");
    }
    if (name.size() > max_component) {
        return base::refuse(ENAMETOOLONG, quoted(name) + " is too long for a group: at most 255 bytes");
    }
    if (name == "." || name == "..") {
        return base::refuse(EINVAL, quoted(name) + " cannot name a group");
    }
    for (const char c : name) {
        if (c == '/') {
            return base::refuse(EINVAL, quoted(name) + " cannot name a group: it has a '/'");
        }
        if (is_control(c)) {
            return base::refuse(EINVAL, quoted(name) + " cannot name a group: it has a control character");
        }
    }
    return {};
}

base::Result<std::vector<std::string_view>> split_path(std::string_view path) {
    if (path.empty() || path.front() != '/') {
        return base::refuse(EINVAL, "the path " + quoted(path) + " does not begin with '/'",
                            "write '/" + std::string(path.substr(0, 80)) + "'");
    }
    std::vector<std::string_view> components;
    std::string_view rest = path.substr(1);
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find('/'), rest.size());
        const std::string_view component = rest.substr(0, end);
        if (component.empty()) {
            return base::refuse(EINVAL, "the path " + quoted(path) + " has an empty part",
                                "write one '/' at a time");
        }
        if (auto valid = check_group_name(component); !valid) {
            return base::pass(valid);
        }
        components.push_back(component);
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    if (components.size() > max_depth) {
        return base::refuse(EAGAIN, "the path " + quoted(path) + " is too deep: groups nest at most " +
                                        std::to_string(max_depth) + " levels");
    }
    return components;
}

base::Result<Address> split_address(std::string_view text) {
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos) {
        return base::refuse(EINVAL, quoted(text) + " is not a group",
                            "write HIERARCHY:/PATH, for example unit:/web");
    }
    const Address address{text.substr(0, colon), text.substr(colon + 1)};
    if (address.hierarchy.empty()) {
        return base::refuse(EINVAL, quoted(text) + " names no hierarchy",
                            "write HIERARCHY:/PATH, for example unit:/web");
    }
    if (address.path.empty() || address.path.front() != '/') {
        return base::refuse(EINVAL, quoted(text) + " is not a group: its path does not begin with '/'",
                            "write '" + std::string(address.hierarchy) + ":/" +
                                std::string(address.path.substr(0, 80)) + "'");
    }
    return address;
}

}  // namespace gpcsup::grouping
