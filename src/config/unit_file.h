#pragma once
// One unit: its file and its drop-ins, read through the table of settings (units/settings.h) into a
// Declaration. No file is opened in here: texts in, declaration and problems out.

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/attribute_settings.h"
#include "config/catalogue.h"
#include "config/located.h"
#include "units/declaration.h"

namespace gpcsup::config {

struct SourceText {
    std::string file;
    std::string text;
};

struct UnitFile {
    units::Declaration declaration;
    std::vector<Located> problems;  // with any, the declaration is not to be used
    // Where things are written: "depends.requires", and "depends.requires db" for an entry of a list.
    std::map<std::string, Location> places;
    std::vector<LocatedSetting> limits;  // as in the declaration, with their places
};

enum class Whole { unit, drop_in };  // drop_in: the texts add to a unit that is not among them

// TEXTS: the unit's file first, then its drop-ins. A later one overrides single values, adds to the lists of
// [depends] and to environment, [place] and [limits], and replaces other lists.
UnitFile read_unit(std::string_view name, std::span<const SourceText> texts,
                   const AttributeCatalogue* catalogue, Whole whole = Whole::unit);

}  // namespace gpcsup::config
