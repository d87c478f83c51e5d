#include "init/environment.h"

#include <cstdio>
#include <cstring>

#include "init/say.h"
#include "init/state.h"
#include "wire/keep.h"

namespace gpcsup::init {

namespace {

constexpr const char* own_variables[] = {
    wire::keeper_variable,     wire::runtime_variable, wire::config_variable, wire::units_variable,
    wire::generation_variable, state_variable,         image_variable,
};

bool is_own(const char* entry) {
    for (const char* name : own_variables) {
        std::size_t length = strlen(name);
        if (strncmp(entry, name, length) == 0 && entry[length] == '=') {
            return true;
        }
    }
    return false;
}

}  // namespace

void copy_environment(Environment& environment, char** from) {
    environment.count = 0;
    environment.own_used = 0;
    constexpr unsigned reserve = 16;
    for (; *from != nullptr && environment.count < Environment::capacity - reserve; ++from) {
        if (!is_own(*from)) {
            environment.entries[environment.count++] = *from;
        }
    }
    if (*from != nullptr) {
        say("the environment has more than %u variables: the rest is left out", environment.count);
    }
    environment.entries[environment.count] = nullptr;
}

void set_variable(Environment& environment, const char* name, const char* value) {
    unsigned left = Environment::own_size - environment.own_used;
    char* text = environment.own + environment.own_used;
    int length = snprintf(text, left, "%s=%s", name, value);
    if (length < 0 || static_cast<unsigned>(length) >= left || environment.count == Environment::capacity) {
        say("no room for %s in the environment", name);
        return;
    }
    environment.own_used += static_cast<unsigned>(length) + 1;
    std::size_t name_length = strlen(name);
    unsigned place = 0;
    while (place < environment.count && (strncmp(environment.entries[place], name, name_length) != 0 ||
                                         environment.entries[place][name_length] != '=')) {
        ++place;
    }
    environment.entries[place] = text;
    if (place == environment.count) {
        environment.entries[++environment.count] = nullptr;
    }
}

}  // namespace gpcsup::init
