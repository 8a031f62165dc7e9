"""Browsers and apps that people use, as they write themselves: none of them may be taken for a bot."""

from typing import Final

_WEBKIT: Final = "AppleWebKit/537.36 (KHTML, like Gecko)"
_IOS: Final = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_WINDOWS: Final = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT}"
_MAC: Final = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_WEBKIT}"
_LINUX: Final = f"Mozilla/5.0 (X11; Linux x86_64) {_WEBKIT}"
_ANDROID: Final = f"Mozilla/5.0 (Linux; Android 10; K) {_WEBKIT}"
_IPHONE: Final = f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) {_IOS}"
_IPAD: Final = f"Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) {_IOS}"

DESKTOP: Final = (
    f"{_WINDOWS} Chrome/140.0.0.0 Safari/537.36",
    f"{_MAC} Chrome/140.0.0.0 Safari/537.36",
    f"{_LINUX} Chrome/140.0.0.0 Safari/537.36",
    f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {_WEBKIT} Chrome/139.0.0.0 Safari/537.36",
    f"{_WINDOWS} Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
    f"{_MAC} Chrome/139.0.0.0 Safari/537.36 OPR/123.0.0.0",
    f"{_WINDOWS} Chrome/138.0.0.0 Safari/537.36 Vivaldi/7.5.3735.54",
    f"{_WINDOWS} Chrome/136.0.0.0 YaBrowser/25.6.0.0 Safari/537.36",
    f"{_LINUX} Chrome/140.0.0.0 Electron/38.1.0 Safari/537.36",
    f"{_WINDOWS} Slack/4.44.65 Chrome/134.0.6998.205 Electron/35.5.1 Safari/537.36",
    f"{_MAC} Notion/4.12.0 Chrome/134.0.0.0 Electron/35.0.0 Safari/537.36",
    f"{_WINDOWS} Code/1.103.2 Chrome/138.0.7204.100 Electron/37.2.3 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:142.0) Gecko/20100101 Firefox/142.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0",
    "Mozilla/5.0 (X11; FreeBSD amd64; rv:140.0) Gecko/20100101 Firefox/140.0",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_IOS} Version/18.5 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
    "Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Trident/5.0)",
    "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; SLCC2; .NET CLR 2.0.50727; InfoPath.3)",
    "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)",
    "Opera/9.80 (Windows NT 6.1; WOW64) Presto/2.12.388 Version/12.18",
    "Mozilla/5.0 (X11; U; Linux i686; en-US; rv:1.9.2.28) Gecko/20120306 Firefox/3.6.28",
    "Mozilla/5.0 (compatible; Konqueror/4.14; Linux) KHTML/4.14.10 (like Gecko)",
    "Lynx/2.9.0dev.10 libwww-FM/2.14 SSL-MM/1.4.1 GNUTLS/3.7.1",
    "w3m/0.5.3+git20230121",
    "Mozilla/5.0 (Windows NT 10.0; WOW64; rv:52.9) Gecko/20100101 Goanna/4.8 Firefox/60.9 PaleMoon/28.17.0",
)
MOBILE: Final = (
    f"{_ANDROID} Chrome/140.0.0.0 Mobile Safari/537.36",
    f"Mozilla/5.0 (Linux; Android 14; SM-S928B) {_WEBKIT} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Android 15; Mobile; rv:142.0) Gecko/142.0 Firefox/142.0",
    f"{_ANDROID} Chrome/139.0.0.0 Mobile Safari/537.36 EdgA/139.0.0.0",
    f"{_ANDROID} Chrome/135.0.0.0 Mobile Safari/537.36 OPR/90.0.0.0",
    (
        "Mozilla/5.0 (Linux; U; Android 13; en-US; RMX3511 Build/TP1A.220905.001) AppleWebKit/537.36 (KHTML,"
        " like Gecko)"
        " Version/4.0 Chrome/123.0.6312.80 UCBrowser/13.8.2.1324 Mobile Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Linux; U; Android 12; zh-cn; 2107119DC Build/SKQ1.211006.001) AppleWebKit/537.36"
        " (KHTML, like Gecko)"
        " Version/4.0 Chrome/112.0.5615.136 Mobile Safari/537.36 XiaoMi/MiuiBrowser/18.2.50327"
    ),
    (
        "Mozilla/5.0 (Linux; Android 11; CUBOT KINGKONG 5 Pro) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0"
        " Mobile Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Linux; Android 9; CUBOT_X19_S Build/PPR1.180610.011; wv) AppleWebKit/537.36 (KHTML, like Gecko)"
        " Version/4.0 Chrome/95.0.4638.74 Mobile Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Linux; Android 10; Cat S62 Pro) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile"
        " Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Linux; Android 7.1.1; M bot 60 Build/NMF26F) AppleWebKit/537.36 (KHTML, like Gecko)"
        " Chrome/99.0.0.0"
        " Mobile Safari/537.36"
    ),
    f"{_IPHONE} Version/18.5 Mobile/15E148 Safari/604.1",
    f"{_IPHONE} CriOS/140.0.7339.101 Mobile/15E148 Safari/604.1",
    f"{_IPHONE} FxiOS/142.0 Mobile/15E148 Safari/605.1.15",
    f"{_IPHONE} EdgiOS/139.0.3405.86 Version/18.0 Mobile/15E148 Safari/604.1",
    f"{_IPHONE} GSA/380.0.791420 Mobile/15E148 Safari/604.1",
    f"{_IPAD} Version/17.7 Mobile/15E148 Safari/604.1",
    "Opera/9.80 (Android; Opera Mini/36.2.2254/119.132; U; id) Presto/2.12.423 Version/12.16",
    "Mozilla/5.0 (Mobile; Nokia_8110_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5",
    "Nokia6230i/2.0 (03.80) Profile/MIDP-2.0 Configuration/CLDC-1.1",
    "Mozilla/5.0 (BB10; Touch) AppleWebKit/537.35+ (KHTML, like Gecko) Version/10.3.3.2205 Mobile Safari/537.35+",
    (
        "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 (KHTML, like Gecko)"
        " Chrome/52.0.2743.116 Mobile Safari/537.36 Edge/15.15254"
    ),
    "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/UQ1A.240205.002)",
)
IN_APPS: Final = (
    (
        f"{_IPHONE} Mobile/22F76 [FBAN/FBIOS;FBAV/517.0.0.52.96;FBBV/746577217;FBDV/iPhone15,3;FBMD/iPhone;FBSN/iOS;"
        "FBSV/18.5;FBSS/3;FBCR/;FBID/phone;FBLC/en_US;FBOP/80]"
    ),
    (
        "Mozilla/5.0 (Linux; Android 15; SM-A556B Build/AP3A.240905.015.A2; wv) AppleWebKit/537.36 (KHTML, like Gecko)"
        " Version/4.0 Chrome/138.0.7204.179 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/520.0.0.49.85;IABMV/1;]"
    ),
    (
        "Mozilla/5.0 (Linux; Android 15; CPH2557 Build/AP3A.240617.008; wv) AppleWebKit/537.36 (KHTML, like Gecko)"
        " Version/4.0 Chrome/138.0.7204.179 Mobile Safari/537.36 Instagram 390.0.0.43.81 Android (35/15; 480dpi; OPPO)"
    ),
    f"{_IPHONE} Mobile/22F76 Instagram 391.0.0.31.80 (iPhone15,2; iOS 18_5; en_US; en; scale=3.00; 1179x2556; 7508)",
    f"{_IPHONE} Mobile/15E148 musical_ly_40.9.0 JsSdk/2.0 NetType/WIFI Channel/App Store ByteLocale/en Region/US",
    f"{_IPHONE} Safari Line/15.11.1",
    (
        "Mozilla/5.0 (Linux; Android 13; M2102J20SG Build/TKQ1.221013.002; wv) AppleWebKit/537.36 (KHTML, like Gecko)"
        " Version/4.0 Chrome/116.0.0.0 Mobile Safari/537.36 MMWEBID/8247 MicroMessenger/8.0.50.2701(0x28003252)"
        " WeChat/arm64 Weixin NetType/WIFI Language/zh_CN ABI/arm64"
    ),
    f"{_IPHONE} Mobile/15E148 Snapchat/13.45.0.49 (like Safari/8621.2.5.10.10, panda)",
    f"{_IPHONE} Mobile/22F76 Twitter for iPhone/11.9",
    (
        "Mozilla/5.0 (Linux; Android 14; SM-G991B Build/UP1A.231005.007; wv) AppleWebKit/537.36 (KHTML, like Gecko)"
        " Version/4.0 Chrome/137.0.7151.115 Mobile Safari/537.36 [Pinterest/Android]"
    ),
    "Spotify/8.9.62 iOS/17.5.1 (iPhone14,5)",
    "MyNews/5.4.1 (com.example.mynews; build:812; iOS 18.5.0) Alamofire/5.9.1",
    "MyShop/31 CFNetwork/3826.500.131 Darwin/24.5.0",
    "okhttp-shop/4.2 (Android 14; Pixel 8; en_GB) okhttp/4.12.0",
)
OTHERS: Final = (
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) 94.0.4606.31/7.0 TV Safari/537.36",
    (
        "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/94.0.4606.128 Safari/537.36"
        " DMOST/2.0.0 (; LGE; webOSTV; WEBOS22.3.5 04.51.61; W22_O22; WEBOS22; MODEL;)"
    ),
    (
        "Mozilla/5.0 (Linux; Andr0id 9; BRAVIA 4K UR2) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/88.0.4324.152"
        " Safari/537.36 OPR/46.0.2207.0 OMI/4.21.0.273 HbbTV/1.5.1 (+DRM; Sony; KD-55XH8096; PKG6.7715; ; ; )"
    ),
    (
        "Mozilla/5.0 (Linux; Android 9; AFTKA Build/PS7633; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0"
        " Chrome/120.0.6099.193 Mobile Safari/537.36"
    ),
    (
        "Mozilla/5.0 (X11; Linux armv7l) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0.4430.225"
        " Safari/537.36 CrKey/1.56"
    ),
    "Roku4640X/DVP-7.70 (297.70E04154A)",
    (
        "Mozilla/5.0 (PlayStation; PlayStation 5/8.00) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.4"
        " Safari/605.1.15"
    ),
    (
        "Mozilla/5.0 (Nintendo Switch; WifiWebAuthApplet) AppleWebKit/609.4 (KHTML, like Gecko) NF/6.0.3.25.0"
        " NintendoBrowser/5.1.0.33318"
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox Series X) AppleWebKit/537.36 (KHTML, like Gecko)"
        " Chrome/48.0.2564.82 Safari/537.36 Edge/20.02"
    ),
    (
        "Mozilla/5.0 (X11; U; Linux armv7l like Android; en-us) AppleWebKit/531.2+ (KHTML, like Gecko) Version/5.0"
        " Safari/533.2+ Kindle/3.0+"
    ),
    (
        "Mozilla/5.0 (Linux; Android 11; KFTRWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/138.4.1 like"
        " Chrome/138.0.7204.179"
        " Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Linux; Android 12; Quest 3) AppleWebKit/537.36 (KHTML, like Gecko) OculusBrowser/38.2.0.0"
        " Chrome/136.0.7103.177 VR Safari/537.36"
    ),
    (
        "Mozilla/5.0 (X11; GNU/Linux) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/136.0.0.0 Safari/537.36"
        " Tesla/2025.26.3"
    ),
    "AppleCoreMedia/1.0.0.22F76 (iPhone; U; CPU OS 18_5 like Mac OS X; en_us)",
    "VLC/3.0.21 LibVLC/3.0.21",
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.1.0",
)
BROWSERS: Final = (*DESKTOP, *MOBILE, *IN_APPS, *OTHERS)
