#include "base/result.h"

#include <cstring>

namespace gpcsup::base {

std::string Error::message() const {
    std::string text;
    if (object.empty()) {
        text = tried;
    } else {
        text = "cannot " + tried + " " + object;
        if (code != 0) {
            text += ": ";
            text += strerrordesc_np(code) != nullptr ? strerrordesc_np(code) : "unknown error";
        }
    }
    if (!hint.empty()) {
        text += "; " + hint;
    }
    return text;
}

std::unexpected<Error> fail(int code, std::string_view tried, std::string_view object,
                            std::string_view hint) {
    return std::unexpected<Error>(Error{code, std::string(tried), std::string(object), std::string(hint)});
}

std::unexpected<Error> refuse(int code, std::string_view text, std::string_view hint) {
    return std::unexpected<Error>(Error{code, std::string(text), {}, std::string(hint)});
}

}  // namespace gpcsup::base
