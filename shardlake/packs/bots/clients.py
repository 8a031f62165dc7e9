"""What the user agents of browsers and of apps tell: an operating system, a device, an engine, or a name known for it.

A text that has nothing of this was not sent by something that a person looks at. That alone finds four in five bots of
lists that this was not made from. All is in RE2's syntax, without regard to case, and matched together with the bots.
"""

from typing import Final

# Devices and what runs on them. Each of these words will do anywhere: programs without a screen do not send them.
_DEVICES: Final = (
    r"iphone|ipad|ipod|\biph\d|like mac os x|mac ?os\b|macosx|watch ?os|\bwatch\d,\d|tvos|\bios\b|cfnetwork",
    r"android|omdroid|dalvik|harmonyos|openharmony|kaios|tizen|bada|maemo|meego|sailfish|web[0o]s|hp ?wos",
    r"\(windows nt|windows (?:phone|ce|mobile)|symbian|symbos|series ?[4689]0|\bs60\b|palm|treo|ipaq|blackberry|bb10",
    r"playbook|\brim\d",
    r"playstation|\bpsp\b|\bps[3-5]\b|nintendo|xbox|\bwii\b|dreamcast|quest [23]|oculus",
    r"webtv|hbbtv|hybridcast|ce-html|dlnadoc|smart-?tv|netcast|apple ?tv|\btpapi\b|\b[dip]?tv\b|vizio|aquos|bravia",
    r"viera",
    r"roku|crkey|chromecast|airplay|sonos|kindle|\bsilk/|\bnook\b|kobo|tesla|car ?play|garmin|fitbit|brightsign",
)
# Televisions and what stands below them.
_SCREENS: Final = (
    r"humax|youview|freesat|freeview|tivo\b|directv|nettv|loewe|vestel|grundig|technisat|skyworth|telefunken|kreatv",
    r"infomir|\bmag ?[2-5]\d\d|set-?top|\bstb\b|boxee|espial|ekioh|mediaroom|alticast|opentv|netrange|vidaa|vewd|\bbdp",
    r"blu-?ray|qtcarbrowser|alexamedia|google home|amazon;aft|upnp/1|dlna",
)
# Telephones before Android: makers, their browsers, and the profiles of Java that they state.
_PHONES: Final = (
    r"nokia|ericsson|\bsony|samsung|sec-?sgh|\bs[gcp]h-|\b(?:gt|sm)-[a-z]\d{3}|\blge?[-_/ ]?[a-z]{0,3}\d|\blge?\b",
    r"\bmot[-_]",
    r"motorola|sagem|alcatel|siemens|\bsie-|\bhtc|huawei|\bzte|lenovo|pantech|philips|amoi|\basus|\bacer\b|panasonic",
    r"sharp",
    r"toshiba|kyocera|sanyo|\bbenq|\bbird[ ._-]|haier|hisense|micromax|\blava|karbonn|spice|xiaomi|redmi|\boppo|\bvivo",
    r"oneplus|realme|meizu|gionee|coolpad|\btcl\b|infinix|tecno|\bitel\b|vertu|dopod|qtek|i-?mate|i-mobile|\bnec-",
    r"sendo",
    r"telit|maxon|k-?touch|tianyu|konka|changhong|utstar|\bvk-?\d|nexian|celkon|intex|\bxolo|\bwiko|archos|ainol",
    r"pioneer",
    r"\bcasio|fujitsu|medion|\bdell\b|ipaq|\bo2[- ]|\bspv\b|t-mobile|verizon|\bvx\d{4}|\bcdm-|audiovox|mitsu|trium",
    r"\bngm\b|zopo",
    r"\bdoov|opsson|yulong|qmobile|g'?five|\bfly[-_ ]|airness|docomo|\bfoma\b|kddi|softbank|vodafone|j-phone",
    r"portalmmm|pocketpc",
    r"up\.browser|up\.link|obigo|teleca|netfront|jig browser|openwave|polaris|dolfin|jasmine|\bbrew\b|midp|cldc",
    r"cellphone",
    r"\bmmp/|\bwap\b|\bmaui|\bmtk|mocor|\bsprd|uc ?browser|ucweb|opera mini|opera mobi|fban/|fbav/|micromessenger",
    r"instagram",
)
# What only software of phones states: sizes of screens, chips, and the names of Android's builds.
_BUILDS: Final = (
    r"\b\d{3,4}[x*]\d{3,4}\b|\bmsm\d{4}|\bmt\d{4}\b|\bscale/\d\.\d|alamofire|froyo|gingerbread|\bgr[ijk]\d\d",
    r"\bim[lm]7[46]|\bjr[no]03",
    r"\b(?:jzo54|jop40|jdq39|jss15|jls36|jwr66|k[ov]t49|ktu84|lrx2\d|lmy4\d|mmb29|mra58|nrd90|nmf26|op[mr]\d|ppr1|pkq1)",
    r"untrusted/1|\bapi \d+\. language|\bwp[78]/|smartphone|shp/vpp|\bmib/\d|\(c\d+;t[bcdj];|\bup/\d",
    r"^(?:com|net|org|de|io|jp)\.[a-z]\w+\.[a-z]",
    r"\b[qrstua]p[12]a\.|^[a-z]{2,}[-_ ][a-z]{0,3}-?\d{2,}[a-z]{0,2}(?:[/_ ]|$)",
)
# Browsers and apps that tell nothing but their names.
_NAMED: Final = (
    r"^(?:lynx|w3m|e?links|dillo|netsurf|amaya|emacs-w3m|ncsa|vms_mosaic|mosaic|icab|omniweb|ibrowse|amiga|konqueror)",
    r"^(?:firefox|safari|chrome|chromium|opr)[/ ]\d|^opera\b|^(?:brave|avant|deepnet) |libvlc|\bxbmc|kodi/",
    r"amigaos|^googleapp/|mozac",
    r"^(?:vlc|nsplayer|wmplayer|windows-media|winamp|itunes|quicktime|foobar2000|mpv|audacious|rhythmbox|clementine)\b",
    r"^(?:microsoft office|microsoft outlook|microsoft url|outlook|thunderbird|the bat!|eudora|evolution|lotus-notes)",
    r"^(?:postbox|emclient|airmail|windowsmail|spotify|deezer|tidal|telegram|skype|slack|discord|steam|gog|battle\.net)",
    r"^(?:applecoremedia|stagefright|exoplayer|plex|jellyfin|emby|alexa|echo/|bluestacks|antennapod|pocket casts)",
)
# Engines of browsers, with versions.
_ENGINES: Final = r"webkit/\d|browser\b|internet explorer|\bmsie \d|\bopera \d|\bgecko/\d|presto/\d|trident/\d"
# Of desktops, whose names tools tell too, only after the word with which browsers begin.
_DESKTOPS: Final = (
    r"windows|win ?(?:9[58x]|nt|32|16|64)|macintosh|mac_|\bmac\b|\bppc\b|linux|x11|\bcros\b|amiga|beos|os/2|sunos|bsd",
    r"haiku|irix|hp-ux|\baix\b|osf1|openvms|risc os|serenityos|syllable|atari|cygwin|ubuntu|debian|fedora|fuchsia",
    r"msie|trident|presto|khtml|gecko/|webkit/|konqueror|galeon|epiphany|netscape|msoffice",
)

DEVICE: Final = f"(?i){'|'.join((*_DEVICES, *_SCREENS, *_PHONES, *_BUILDS))}"
CLIENT: Final = f"{DEVICE}|{'|'.join((*_NAMED, _ENGINES))}|(?:mozilla|^opera)/.*(?:{'|'.join(_DESKTOPS)})"
# What most of them begin with; all of these are found by CLIENT too.
CLIENT_STARTS: Final = (
    "Mozilla/5.0 (Windows",
    "Mozilla/5.0 (iPhone",
    "Mozilla/5.0 (iPad",
    "Mozilla/5.0 (Macintosh",
    "Mozilla/5.0 (X11",
    "Mozilla/5.0 (Linux",
    "Mozilla/5.0 (compatible; MSIE",
    "Mozilla/4.0 (compatible; MSIE",
    "Dalvik/",
    "Opera/",
    "UCWEB/",
    "SAMSUNG-",
)
# What most of the others have somewhere, in small letters; the same holds for these.
CLIENT_WORDS: Final = ("android", "nokia", "samsung", "midp", "iphone", "hbbtv", "docomo", "symbian")
# What the texts of apps do not have: they call themselves by their own names.
BROWSERS: Final = ("ozilla/", "Opera/")

_PLATFORM: Final = (
    r"Windows NT \d+\.\d(?:; (?:Win64; x64|WOW64|ARM64))?",
    r"Macintosh; Intel Mac OS X [\d._]+",
    r"X11; (?:Ubuntu; |CrOS |Fedora; )?(?:Linux )?(?:x86_64|i686|aarch64|armv7l)(?: [\d.]+)?",
    r"Linux; ?(?:U; ?)?(?:arm(?:_64)?; )?Android [\w.-]+(?:; ?[\w .,+*()-]+)*(?: Build/[\w .+-]+)?(?:; wv)?",
    r"(?:iPhone|iPad|iPod touch|iPod); CPU (?:iPhone )?OS [\d_]+ like Mac OS X",
    r"Android \d+; Mobile",
)
# Products that stand behind the engine in the texts of browsers.
_PRODUCTS: Final = (
    "Version|Chrome|Chromium|Mobile|Safari|Mobile Safari|Edge?|EdgA|EdgiOS|OPR|OPT|OPX|SamsungBrowser|CriOS|FxiOS|GSA",
    "YaBrowser|UCBrowser|U3|MQQBrowser|QQBrowser|XiaoMi/MiuiBrowser|HeyTapBrowser|VivoBrowser|HuaweiBrowser|Vivaldi",
    "Ddg",
    "DuckDuckGo|Whale|Puffin|Silk|Focus|Brave|Electron|QtWebEngine|Instagram|TikTok|NAVER|KAKAOTALK|Line|Snapchat",
    "Pinterest",
    "SA|BroPP|Ya(?:App|SearchApp)_Android|YaSearchBrowser|YandexSearch(?:WebView|Browser)?|TV|\\(lite\\)",
)
_ENGINE: Final = rf"AppleWebKit/[\d.+]+ \(KHTML, [Ll]ike Gecko\)(?: +(?:{'|'.join(_PRODUCTS)})(?:/[\w./-]+)?)+"
# What apps add for the pages that they show.
_WITHIN: Final = (
    r" \[FB[A-Z_]+/[^\]]*\]| \[Pinterest/\w+\]| Instagram [\d.]+ (?:Android )?\([^()]*\)| MMWEBID/\d+"
    r"| MicroMessenger/[\d.]+\(\w+\)| (?:WeChat|Weixin|NetType|Language|ABI)(?:/\w+)?"
)
# The whole text of a browser as its maker wrote it. A bot may send it too, and then its text does not tell.
PLAIN: Final = (
    rf"^Mozilla/5\.0 \((?:{'|'.join(_PLATFORM)})(?:; rv:[\d.]+)?\)"
    rf" (?:{_ENGINE}(?:{_WITHIN})*|Gecko/[\d.]+ Firefox/[\d.]+)$"
)
